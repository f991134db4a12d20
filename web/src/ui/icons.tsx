// Pictures drawn by hand on a grid of 16: one stroke, the colour of the text beside them.

import type { JSX } from "preact";

const PATHS = {
  overview: "M2 9h3l2-5 2.5 8L12 7l1 2h1",
  downloads: "M8 2v8m0 0 3-3m-3 3L5 7M2.5 12.5v1h11v-1",
  incidents: "M8 2 1.8 13.5h12.4L8 2zm0 4.5V10m0 1.7v.3",
  operations: "M8 5.3A2.7 2.7 0 1 0 8 10.7A2.7 2.7 0 1 0 8 5.3M8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2M3.4 3.4l1.4 1.4M11.2 11.2l1.4 1.4M12.6 3.4l-1.4 1.4M4.8 11.2l-1.4 1.4",
  library: "M2 3h12v10H2zM2 6h12M5 3v3M8 3v3M11 3v3M7 8.2v3l2.6-1.5z",
  system: "M3 3h10v10H3zM6 6h4v4H6zM6 1v2M10 1v2M6 13v2M10 13v2M1 6h2M1 10h2M13 6h2M13 10h2",
  connections: "M8 8m-1.5 0a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0M4.5 4.5a5 5 0 0 0 0 7M11.5 4.5a5 5 0 0 1 0 7M2.3 2.3a8 8 0 0 0 0 11.4M13.7 2.3a8 8 0 0 1 0 11.4",
  logs: "M3 3h10M3 6.3h7M3 9.7h10M3 13h5",
  rules: "M2.5 4h5M11 4h2.5M2.5 8H5M8.5 8h5M2.5 12h6M12 12h1.5M9.2 2.5v3M6.8 6.5v3M10.3 10.5v3",
  bell: "M8 2a4 4 0 0 0-4 4c0 4-1.5 5-1.5 5.5h11C13.5 11 12 10 12 6a4 4 0 0 0-4-4M6.5 13.5a1.6 1.6 0 0 0 3 0",
  settings: "M3 4.5h5M11 4.5h2M3 11.5h2M8 11.5h5M9.5 3v3M6.5 10v3",
  account: "M8 8.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6M2.5 14c.6-2.7 2.7-4 5.5-4s4.9 1.3 5.5 4",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  check: "M3 8.5 6.5 12 13 4.5",
  cross: "M4 4l8 8M12 4l-8 8",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3v10l8-5z",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5V5h-2.5",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9M10.3 10.3 14 14",
  back: "M9.5 3 4.5 8l5 5",
  next: "M6.5 3l5 5-5 5",
  down: "M3 6l5 5 5-5",
  mute: "M8 3 5 5.5H2.5v5H5L8 13zM11 6l3 4M14 6l-3 4",
  sound: "M8 3 5 5.5H2.5v5H5L8 13zM11 6a3 3 0 0 1 0 4M13 4.5a6 6 0 0 1 0 7",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M8 5v3.3l2 1.5",
  file: "M4 1.5h5.5l3 3v10h-8.5zM9.5 1.5v3h3",
  trash: "M3 4.5h10M6.5 4V2.5h3V4M4.5 4.5l.5 9h6l.5-9",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }): JSX.Element {
  const filled = name === "play";
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path
        d={PATHS[name]}
        fill={filled ? "currentColor" : "none"}
        stroke="currentColor"
        stroke-width={name === "more" ? 2 : 1.4}
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
