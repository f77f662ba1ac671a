// Puts the page together.

const tables = content.tables.map((spec) => new Table(spec));
document.querySelectorAll("section[data-table]").forEach((section) => {
  new TableView(section, tables[Number(section.dataset.table)]);
});
const host = document.getElementById("explorer");
if (host && content.figure) {
  new Explorer(host, content.figure);
  document.getElementById("picture")?.removeAttribute("open");
}

const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const button = element("button", { type: "button", class: "theme" });
function named() {
  const now = root.dataset.theme || (dark.matches ? "dark" : "light");
  button.textContent = now === "dark" ? "Light colours" : "Dark colours";
  return now;
}
button.addEventListener("click", () => { root.dataset.theme = named() === "dark" ? "light" : "dark"; named(); });
dark.addEventListener("change", named);
named();
document.querySelector("nav").append(button);

let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((part) => { part.open = true; });
});
window.addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
root.dataset.ready = "yes";
performance.mark("ready");
