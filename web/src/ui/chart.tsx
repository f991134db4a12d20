// Small charts drawn as SVG. What they show is also there as a table, for those who hear the page.

import type { ComponentChildren, JSX } from "preact";
import { useSignal } from "@preact/signals";
import type { Tone } from "./status";

const WIDE = 600;
const HIGH = 120;

/** A round number that is not below `value`. */
function above(value: number): number {
  if (value <= 4) return Math.max(1, Math.ceil(value));
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((tick) => tick >= value) ?? value;
}

export interface Series {
  name: string;
  tone: Tone;
  values: number[];
}

interface Props {
  label: string;
  /** What stands below each place, and in the table. */
  at: string[];
  series: Series[];
  show?: (value: number) => string;
}

function Frame({ label, at, series, show = String, top, children, pick }: Props & {
  top: number;
  children: ComponentChildren;
  pick: (index: number | null) => void;
}): JSX.Element {
  return (
    <figure class="chart">
      <span class="chart-top" aria-hidden="true">{show(top)}</span>
      <svg
        viewBox={`0 0 ${WIDE} ${HIGH}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
        onPointerMove={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const place = Math.floor(((event.clientX - box.left) / box.width) * at.length);
          pick(Math.min(Math.max(place, 0), at.length - 1));
        }}
        onPointerLeave={() => pick(null)}
      >
        <line class="chart-line" x1="0" x2={WIDE} y1="0.500" y2="0.500" />
        <line class="chart-line" x1="0" x2={WIDE} y1={HIGH / 2} y2={HIGH / 2} />
        {children}
        <line class="chart-base" x1="0" x2={WIDE} y1={HIGH - 0.5} y2={HIGH - 0.5} />
      </svg>
      <div class="chart-at" aria-hidden="true"><span>{at[0]}</span><span>{at.at(-1)}</span></div>
      {/* A table cannot be smaller than what is in it: its box is. */}
      <div class="hidden"><table>
        <caption>{label}</caption>
        <thead><tr><td />{series.map((one) => <th key={one.name} scope="col">{one.name}</th>)}</tr></thead>
        <tbody>
          {at.map((when, place) => (
            <tr key={place}>
              <th scope="row">{when}</th>
              {series.map((one) => <td key={one.name}>{show(one.values[place] ?? 0)}</td>)}
            </tr>
          ))}
        </tbody>
      </table></div>
    </figure>
  );
}

function Legend({ series, show = String, place, at }: Pick<Props, "series" | "show" | "at"> & { place: number | null }): JSX.Element {
  const sum = (one: Series): number => one.values.reduce((all, value) => all + value, 0);
  return (
    <p class="legend" aria-hidden="true">
      {series.map((one) => (
        <span key={one.name}><i class={`swatch tone-${one.tone}`} />{one.name} <b>{show(place === null ? sum(one) : (one.values[place] ?? 0))}</b></span>
      ))}
      {place !== null && <span class="soft">{at[place]}</span>}
    </p>
  );
}

/** How many in each stretch of time, the series one upon the other. */
export function Bars(props: Props): JSX.Element {
  const place = useSignal<number | null>(null);
  const { at, series } = props;
  const sums = at.map((_, index) => series.reduce((all, one) => all + (one.values[index] ?? 0), 0));
  const top = above(Math.max(1, ...sums));
  const step = WIDE / Math.max(1, at.length);
  const gap = Math.min(step * 0.25, 3);
  return (
    <>
      <Frame {...props} top={top} pick={(index) => (place.value = index)}>
        {at.map((_, index) => {
          let y = HIGH;
          return (
            <g key={index} class={place.value === null || place.value === index ? "" : "dim"}>
              {series.map((one) => {
                const high = ((one.values[index] ?? 0) / top) * (HIGH - 1);
                y -= high;
                return high > 0 && <rect key={one.name} class={`fill tone-${one.tone}`} x={index * step + gap / 2} y={y} width={step - gap} height={high} />;
              })}
            </g>
          );
        })}
      </Frame>
      <Legend {...props} place={place.value} />
    </>
  );
}

/** One value as it goes, with a dashed limit below which it must not fall. */
export function Line(props: Props & { limit?: number; top?: number }): JSX.Element {
  const place = useSignal<number | null>(null);
  const { at, series, limit } = props;
  const top = props.top ?? above(Math.max(1, ...series.flatMap((one) => one.values)));
  const x = (index: number): number => (at.length < 2 ? 0 : (index / (at.length - 1)) * WIDE);
  const y = (value: number): number => HIGH - Math.min(1, value / top) * (HIGH - 1);
  return (
    <Frame {...props} top={top} pick={(index) => (place.value = index)}>
      {series.map((one) => {
        const points = one.values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
        return (
          <g key={one.name}>
            <polygon class={`area tone-${one.tone}`} points={`0,${HIGH} ${points.join(" ")} ${WIDE},${HIGH}`} />
            <polyline class={`stroke tone-${one.tone}`} points={points.join(" ")} />
          </g>
        );
      })}
      {limit !== undefined && limit > 0 && <line class="chart-limit" x1="0" x2={WIDE} y1={y(limit)} y2={y(limit)} />}
      {place.value !== null && <line class="chart-cursor" x1={x(place.value)} x2={x(place.value)} y1="0" y2={HIGH} />}
    </Frame>
  );
}
