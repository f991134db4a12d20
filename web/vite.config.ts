import { defineConfig } from "vite";

// `LOGMEDIC=http://127.0.0.1:7878 npm run dev` shows the pages as they are written over a running agent.
const agent = process.env.LOGMEDIC ?? "http://127.0.0.1:7878";

export default defineConfig({
  // Shorter than the automatic runtime, by a kilobyte of the whole.
  oxc: { jsx: { runtime: "classic", pragma: "h", pragmaFrag: "Fragment" }, jsxInject: 'import { h, Fragment } from "preact"' },
  // One script and one style: packed together they are a fifth smaller than page by page, and kept for a year.
  build: {
    cssCodeSplit: false,
    rollupOptions: { output: { codeSplitting: false } },
    // What a browser loads is written by us; nothing is injected into the page.
    modulePreload: { polyfill: false },
    target: "es2022",
    assetsInlineLimit: 0,
  },
  server: {
    proxy: {
      "/api": {
        target: agent,
        changeOrigin: true,
        ws: true,
        // The agent believes its own pages only; here it is asked by a page of another port.
        headers: { origin: agent },
      },
      "/setup": { target: agent, changeOrigin: true },
    },
  },
});
