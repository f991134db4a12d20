"use strict";
// Makes the first account with the secret behind `#`, which never reaches a server's log.
const es = {
  title: "La primera cuenta",
  about: "Puede hacerlo todo. El enlace que le trajo aquí funciona una sola vez.",
  name: "Nombre",
  password: "Contraseña, 10 caracteres o más",
  make: "Crear la cuenta",
  bad: "No se pudo: ",
  lost: "logmedic no responde; ¿está en marcha?",
};
const en = {
  bad: "That did not work: ",
  lost: "logmedic does not answer; is it running?",
};
const spanish = navigator.language.startsWith("es");
const word = (name) => (spanish ? es[name] : en[name]);
if (spanish) {
  document.documentElement.lang = "es";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = es[element.dataset.text];
}
const secret = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const form = document.getElementById("form");
const said = document.getElementById("said");
const say = (text, bad) => {
  said.textContent = text;
  said.className = bad ? "bad" : "";
};
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  const account = form.elements.account.value;
  const body = JSON.stringify({ token: secret, account, password: form.elements.password.value });
  try {
    const answer = await fetch("/api/v1/auth/setup", { method: "POST", headers: { "content-type": "application/json" }, body });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    const problem = await answer.json();
    say(word("bad") + problem.detail, true);
  } catch {
    say(word("lost"), true);
  }
  button.disabled = false;
});
