import { defineConfig } from "vite";

// `LOGMEDIC=http://127.0.0.1:7878 npm run dev` shows the pages as they are written over a running agent.
const agent = process.env.LOGMEDIC ?? "http://127.0.0.1:7878";

export default defineConfig({
  // What a browser loads is written by hand or by us; nothing is injected into the page.
  build: { target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0, reportCompressedSize: true },
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
