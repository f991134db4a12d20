import type { JSX } from "preact";
import { Loading } from "../ui/basics";

export default function Page(): JSX.Element {
  return <div class="page"><Loading /></div>;
}
