// Begins: styles, who is here, the shell.

import "./styles/base.css";
import "./styles/ui.css";
import "./styles/shell.css";
import { render } from "preact";
import { App } from "./app";
import { begin } from "./store";

const place = document.getElementById("app");
if (place) {
  render(<App />, place);
  void begin();
}
