// The library: the files under the roots as a grid of pictures; and one of them with all that is known.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { bytes, duration, number } from "../format";
import { useGet, useList } from "../list";
import { asked, askedId, here } from "../router";
import { operations } from "../store";
import type { Operation } from "../types";
import { Button, Empty, Facts, Figures, Panel, Select, Time, Trouble } from "../ui/basics";
import { Filter, NoMatch, Seek } from "../ui/filters";
import { useHeading } from "../ui/heading";
import { Icon, type IconName } from "../ui/icons";
import { Rows } from "../ui/rows";
import { Mark, StateOf, stateWord, tone } from "../ui/status";
import { Whole } from "../ui/things";
import { words } from "../words";
import { inOrder, Work, workHeight, workName } from "./operations/parts";
import "./library.css";

const w = words({
  grid: ["Files", "Archivos"],
  together: ["Together", "En total"],
  thumbnails: ["Thumbnails", "Miniaturas"],
  populate: ["Index", "Indexar"],
  damaged: ["Damaged", "Dañados"],
  missing: ["Not there any more", "Ya no están"],
  root: ["Root", "Raíz"],
  model: ["Folder", "Carpeta"],
  integrity: ["Integrity", "Integridad"],
  video: ["video", "vídeo"],
  audio: ["audio", "audio"],
  image: ["image", "imagen"],
  document: ["document", "documento"],
  archive: ["archive", "archivo comprimido"],
  other: ["other", "otro"],
  sort: ["Order", "Orden"],
  newest: ["Newest first", "Los nuevos primero"],
  name: ["By name", "Por nombre"],
  "-size": ["Largest first", "Los mayores primero"],
  "-duration": ["Longest first", "Los más largos primero"],
  "-modified": ["Last changed first", "Los últimos modificados primero"],
  none: ["Nothing is indexed yet", "Aún no hay nada indexado"],
  noneMore: ["The library shows every file under the roots, once somebody looked.", "La biblioteca muestra cada archivo bajo las raíces, una vez que alguien ha mirado."],
  without: ["This agent has no library", "Este agente no tiene biblioteca"],
  withoutMore: ["A newer version of logmedic has one.", "Una versión más reciente de logmedic la tiene."],
  running: ["Running", "En marcha"],
  gone: ["gone", "ya no está"],
  path: ["Path", "Ruta"],
  format: ["Format", "Formato"],
  long: ["Length", "Duración"],
  picture: ["Picture", "Imagen"],
  hash: ["Checksum", "Suma BLAKE3"],
  first: ["First seen", "Visto por primera vez"],
  changed: ["Changed", "Modificado"],
  checked: ["Checked", "Comprobado"],
  level: ["How thoroughly", "Con qué detalle"],
  structure: ["its structure", "su estructura"],
  checksum: ["all of its content", "todo su contenido"],
  decode: ["every frame of it", "cada fotograma"],
  story: ["How it came", "Cómo llegó"],
  again: ["New thumbnail", "Nueva miniatura"],
  verify: ["Verify", "Verificar"],
});

type Verdict = "sound" | "short" | "broken" | "changed" | "unknown";

interface Media {
  id: string;
  root: string;
  path: string;
  name: string;
  kind: string;
  format: string;
  size: number;
  duration_ms: number | null;
  width: number | null;
  height: number | null;
  video_codec: string | null;
  audio_codec: string | null;
  blake3: string | null;
  first_seen_at: string;
  modified_at: string;
  gone_at: string | null;
  job: string | null;
  integrity: { verdict: Verdict; reason: string | null; level: Level | null; checked_at: string | null };
  /** `url` changes when the picture does. */
  thumbnail: { url: string | null; reason: string | null };
}

interface Share {
  name: string;
  files: number;
}

interface Stats {
  files: number;
  bytes: number;
  gone: number;
  by_root: Share[];
  by_model: Share[];
  by_integrity: Share[];
  /** Why no thumbnail can be made at all. */
  thumbnails_trouble: string | null;
}

const KINDS = ["video", "image", "audio", "document", "archive", "other"] as const;
const VERDICTS: Verdict[] = ["sound", "short", "broken", "changed", "unknown"];
const DAMAGED = new Set<string>(["short", "broken", "changed"]);
const LEVELS = ["structure", "checksum", "decode"] as const;
type Level = (typeof LEVELS)[number];
const SORTS = ["name", "-size", "-duration", "-modified"] as const;
const kindWord = (kind: string): string => (KINDS as readonly string[]).includes(kind) ? w[kind as "video"] : kind;
const ICONS: Record<string, IconName> = { video: "play", image: "library", audio: "sound" };

/** What is at work on the library. */
const works = (): Operation[] => inOrder(operations.value?.filter(({ kind }) => kind === "library" || kind === "thumbnails" || kind === "integrity") ?? []);

/** While something is at work, what it changed is asked for so often. */
const AGAIN_MS = 3_000;

/** Calls `load` while something is at work on the library, and when it is over. */
function useFollow(load: () => void): void {
  const busy = works().length > 0;
  const latest = useRef(load);
  latest.current = load;
  const was = useRef(false);
  useEffect(() => {
    if (was.current && !busy) latest.current();
    was.current = busy;
    if (!busy) return;
    const timer = setInterval(() => latest.current(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [busy]);
}

export default function Library(): JSX.Element {
  const id = askedId();
  return id ? <One key={id} id={id} /> : <All />;
}

const START = { library: ["library/populate", "populate"], thumbnails: ["thumbnails/regenerate", "thumbnails"], integrity: ["integrity/verify", "verify"] } as const;

/** Begins one of the library's operations; one of a kind at a time. */
function Starter({ kind, icon, main }: { kind: keyof typeof START; icon: IconName; main?: boolean }): JSX.Element {
  const [path, word] = START[kind];
  const runs = works().some((one) => one.kind === kind);
  return (
    <Button act={() => api.post(`operations/${path}`)} icon={icon} role="operator" disabled={runs} small={!main} title={workName({ kind, name: kind })} {...(main && { kind: "main" })}>
      {w[word]}
    </Button>
  );
}

function All(): JSX.Element {
  const filter = Object.fromEntries(["root", "model", "kind", "integrity", "q", "sort"].map((name) => [name, asked(name)]));
  const list = useList<Media>(api.query("library", filter));
  const stats = useGet<Stats>("library/stats");
  useFollow(() => {
    stats.reload();
    // Whoever has scrolled down is not thrown back to the top.
    if (scrollY < innerHeight) list.reload();
  });
  const items = list.data.value;
  const problem = list.problem.value;
  if (problem?.status === 404) return <div class="page"><Panel><Empty icon="library" title={w.without}>{w.withoutMore}</Empty></Panel></div>;
  const running = works();
  const of = stats.data.value;
  const { by_root = [], by_model = [], thumbnails_trouble } = of ?? {};
  const names = (of: Share[]): string[] => of.map(({ name }) => name).filter(Boolean);
  const counted = (of: Share[]) => (name: string): string => `${name} (${number(of.find((one) => one.name === name)?.files ?? 0)})`;
  return (
    <div class="page">
      <Panel>
        <div class="row wraps spread">
          <Figures of={[
            [w.grid, of ? number(of.files) : "–"],
            [w.together, bytes(of?.bytes)],
            [w.damaged, of ? number(of.by_integrity.reduce((all, one) => (DAMAGED.has(one.name) ? all + one.files : all), 0)) : "–"],
            [w.missing, of ? number(of.gone) : "–"],
          ]} />
          <div class="row wraps"><Starter kind="library" icon="retry" /><Starter kind="thumbnails" icon="library" /><Starter kind="integrity" icon="check" /></div>
        </div>
        {thumbnails_trouble && <p class="warn-text wrap">{thumbnails_trouble}</p>}
      </Panel>
      {running.length > 0 && <Panel title={w.running} flush><Rows items={running} height={workHeight.value} label={w.running} row={(of) => <Work of={of} />} /></Panel>}
      <div class="toolbar">
        <Seek />
        <Filter name="root" label={w.root} of={names(by_root)} word={counted(by_root)} />
        <Filter name="model" label={w.model} of={names(by_model)} word={counted(by_model)} />
        <Filter name="kind" label={c.kind} of={KINDS} word={kindWord} />
        <Filter name="integrity" label={c.state} of={VERDICTS} word={stateWord} />
        <Filter name="sort" label={w.sort} any={w.newest} of={SORTS} word={(one) => w[one as "name"]} />
      </div>
      {problem && !items ? (
        <Panel><Trouble problem={problem} again={list.reload} /></Panel>
      ) : items?.length === 0 ? (
        <Panel>
          {here.value.query.size > 0 ? <NoMatch /> : <Empty icon="library" title={w.none}><p>{w.noneMore}</p><Starter kind="library" icon="retry" main /></Empty>}
        </Panel>
      ) : (
        <Grid items={items} more={list.more.value ? list.next : undefined} />
      )}
    </div>
  );
}

/** The least width of a card and the height of a row of them, in pixels. */
const CARD = 168;
const HIGH = 204;

/** A row of the grid; its first file names it. */
interface Row {
  id: string;
  cards: Media[];
}

/** `null`: not loaded yet. */
function Grid({ items, more }: { items: Media[] | null; more: (() => void) | undefined }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const columns = useSignal(0);
  useLayoutEffect(() => {
    const measure = (): void => {
      columns.value = Math.max(2, Math.floor((box.current?.clientWidth ?? 0) / CARD));
    };
    measure();
    addEventListener("resize", measure);
    return () => removeEventListener("resize", measure);
  }, []);
  const rows: Row[] = [];
  const across = columns.value;
  if (items && across) for (let at = 0; at < items.length; at += across) rows.push({ id: items[at]!.id, cards: items.slice(at, at + across) });
  const style = { gridTemplateColumns: `repeat(${across}, minmax(0, 1fr))` };
  return (
    <div ref={box} class="media">
      {items
        ? <Rows items={rows} height={HIGH} label={w.grid} more={more} row={({ cards }) => <div class="media-row" style={style}>{cards.map((one) => <Card key={one.id} of={one} />)}</div>} />
        : across > 0 && <div class="media-row" style={style} aria-busy="true">{Array.from({ length: across * 3 }, (_, at) => <span key={at} class="card wait" />)}</div>}
    </div>
  );
}

function Card({ of }: { of: Media }): JSX.Element {
  return (
    <a class="card" href={`/library/${of.id}`}>
      <Picture of={of} />
      {DAMAGED.has(of.integrity.verdict) && <span class="verdict"><StateOf state={of.integrity.verdict} /></span>}
      <span class="cut-off name" title={of.path}>{of.name}</span>
      <span class="cut-off soft meta">{of.gone_at ? w.gone : [of.duration_ms !== null && duration(Math.round(of.duration_ms / 1_000)), bytes(of.size)].filter(Boolean).join(" · ")}</span>
    </a>
  );
}

/** The small picture; where there is none, what the file is. */
function Picture({ of }: { of: Media }): JSX.Element {
  const failed = useSignal(false);
  const { url } = of.thumbnail;
  useEffect(() => {
    failed.value = false;
  }, [url]);
  return (
    <span class="picture">
      {url?.startsWith("/api/v1/library/") && !failed.value
        ? <img src={url} alt="" loading="lazy" decoding="async" onError={() => (failed.value = true)} />
        : <span class="instead"><Icon name={ICONS[of.kind] ?? "file"} size={28} />{kindWord(of.kind)}</span>}
    </span>
  );
}

function One({ id }: { id: string }): JSX.Element {
  const got = useGet<Media>(`library/${encodeURIComponent(id)}`);
  useHeading(got.data.value && got.data.value.name);
  useFollow(got.reload);
  return <Whole list="library" of={got}>{(of) => <Known of={of} />}</Whole>;
}

function Known({ of }: { of: Media }): JSX.Element {
  const thorough = useSignal<Level>("structure");
  const running = works();
  const { verdict, reason, level, checked_at } = of.integrity;
  return (
    <>
      {running.length > 0 && <Panel flush><Rows items={running} height={workHeight.value} label={w.running} row={(one) => <Work of={one} />} /></Panel>}
      <div class="columns">
        <div class="stack">
          <Panel flush class="large">
            <Picture of={of} />
            {of.thumbnail.reason && <p class="soft reason wrap">{of.thumbnail.reason}</p>}
          </Panel>
          <Panel title={w.integrity}>
            <p class={`row tone-${tone(verdict)}`}><Mark tone={tone(verdict)} size={18} /><b>{stateWord(verdict)}</b></p>
            {reason && <p class="wrap">{reason}</p>}
            <Facts of={[[w.checked, <Time at={checked_at} />], [w.level, level ? w[level] : "–"]]} />
            <div class="actions">
              <Button act={() => api.post("operations/thumbnails/regenerate", { ids: [of.id], force: true })} icon="library" role="operator" small>{w.again}</Button>
              <Select<Level> label={w.level} value={thorough.value} pick={(level) => (thorough.value = level)} of={LEVELS.map((one) => [one, w[one]])} />
              <Button act={() => api.post("operations/integrity/verify", { ids: [of.id], level: thorough.value })} icon="check" role="operator" small>{w.verify}</Button>
            </div>
          </Panel>
        </div>
        <Panel>
          <Facts of={[
            [w.path, <span class="mono">{of.path}</span>],
            [w.root, of.root],
            [c.kind, kindWord(of.kind)],
            [w.format, [of.format, of.video_codec, of.audio_codec].filter(Boolean).join(" · ")],
            [c.size, bytes(of.size)],
            of.duration_ms !== null && [w.long, duration(Math.round(of.duration_ms / 1_000))],
            of.width && [w.picture, `${of.width} × ${of.height}`],
            [w.first, <Time at={of.first_seen_at} />],
            [w.changed, <Time at={of.modified_at} />],
            of.gone_at && [w.missing, <Time at={of.gone_at} />],
            of.blake3 && [w.hash, <span class="mono">{of.blake3}</span>],
            of.job && [c.download, <a class="link" href={`/downloads/${of.job}`}>{w.story}</a>],
          ]} />
        </Panel>
      </div>
    </>
  );
}
