// Pictures drawn by hand on a grid of 16: one stroke, the colour of the text beside them.

import type { JSX } from "preact";

const PATHS = {
  overview: "M2 9h3l2-5 2.5 8L12 7l1 2h1",
  downloads: "M8 2v8m0 0 3-3m-3 3L5 7M2.5 12.5v1h11v-1",
  incidents: "M8 2 1.8 13.5h12.4L8 2zm0 4.5V10m0 1.7v.3",
  operations: "M8 5.3A2.7 2.7 0 1 0 8 10.700A2.700 2.700 0 1 0 8 5.300M8 1.500v2M8 12.500v2M1.500 8h2M12.500 8h2M3.400 3.400l1.400 1.400M11.200 11.200l1.400 1.400M12.600 3.400l-1.400 1.400M4.800 11.200l-1.400 1.400",
  library: "M2 3h12v10H2zM2 6h12M5 3v3M8 3v3M11 3v3M7 8.200v3l2.600-1.500z",
  system: "M3 3h10v10H3zM6 6h4v4H6zM6 1v2M10 1v2M6 13v2M10 13v2M1 6h2M1 10h2M13 6h2M13 10h2",
  connections: "M8 8m-1.500 0a1.500 1.500 0 1 0 3 0a1.500 1.500 0 1 0-3 0M4.500 4.500a5 5 0 0 0 0 7M11.500 4.500a5 5 0 0 1 0 7M2.300 2.300a8 8 0 0 0 0 11.400M13.700 2.300a8 8 0 0 1 0 11.400",
  logs: "M3 3h10M3 6.300h7M3 9.700h10M3 13h5",
  rules: "M2.500 4h5M11 4h2.500M2.500 8H5M8.500 8h5M2.500 12h6M12 12h1.500M9.200 2.500v3M6.800 6.500v3M10.300 10.500v3",
  bell: "M8 2a4 4 0 0 0-4 4c0 4-1.500 5-1.500 5.500h11C13.500 11 12 10 12 6a4 4 0 0 0-4-4M6.500 13.500a1.600 1.600 0 0 0 3 0",
  settings: "M3 4.500h5M11 4.500h2M3 11.500h2M8 11.500h5M9.500 3v3M6.500 10v3",
  account: "M8 8.500a3 3 0 1 0 0-6 3 3 0 0 0 0 6M2.500 14c.6-2.700 2.700-4 5.500-4s4.900 1.300 5.500 4",
  more: "M3.500 8h.01M8 8h.01M12.500 8h.01",
  check: "M3 8.500 6.500 12 13 4.500",
  cross: "M4 4l8 8M12 4l-8 8",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  play: "M5 3v10l8-5z",
  stop: "M4 4h8v8H4z",
  retry: "M13 8a5 5 0 1 1-1.500-3.600M13 2.500V5h-2.500",
  search: "M7 11.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9M10.300 10.300 14 14",
  back: "M9.500 3 4.500 8l5 5",
  next: "M6.500 3l5 5-5 5",
  down: "M3 6l5 5 5-5",
  mute: "M8 3 5 5.500H2.500v5H5L8 13zM11 6l3 4M14 6l-3 4",
  sound: "M8 3 5 5.500H2.500v5H5L8 13zM11 6a3 3 0 0 1 0 4M13 4.500a6 6 0 0 1 0 7",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M8 5v3.300l2 1.500",
  file: "M4 1.500h5.500l3 3v10h-8.500zM9.500 1.500v3h3",
  disk: "M2.500 9.500 4.500 3h7l2 6.500M2.500 9.500h11v4h-11zM11 11.500h.5",
  link: "M6.500 9.500l3-3M7 4.500l1.700-1.700a3 3 0 0 1 4.300 4.300L11.500 8.500M9 11.500l-1.700 1.700A3 3 0 0 1 3 8.900L4.500 7.500",
  external: "M6 3H3v10h10v-3M9 2.500h4.500V7M13 3 7.500 8.500",
  trash: "M3 4.500h10M6.500 4V2.500h3V4M4.500 4.500l.5 9h6l.5-9",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }): JSX.Element {
  const filled = name === "play" || name === "stop";
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
