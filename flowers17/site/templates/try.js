"use strict";
const form = document.getElementById("try"), drop = document.getElementById("drop");
const input = document.getElementById("photograph"), preview = document.getElementById("preview");
const answer = document.getElementById("answer"), model = document.getElementById("model");
const LIMIT = 20 * 2 ** 20;
let last = 0;

function tell(text) {
  const line = document.createElement("p");
  line.textContent = text;
  answer.replaceChildren(line);
}

async function attempt(file) {
  if (!file) return;
  const turn = ++last;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  if (file.size > LIMIT) return tell("The photograph is larger than 20 MB.");
  tell("The model looks at it …");
  try {
    const address = "/flowers17/try?model=" + encodeURIComponent(model.value);
    const headers = {"Content-Type": "application/octet-stream"};
    const reply = await fetch(address, {method: "POST", body: file, headers});
    const text = await reply.text();
    if (turn !== last) return;
    if (reply.ok) answer.innerHTML = text;
    else tell(text);
  } catch {
    if (turn === last) tell("The server does not answer.");
  }
}

form.addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("change", () => attempt(input.files[0]));
model.addEventListener("change", () => attempt(input.files[0]));
for (const name of ["dragenter", "dragover"])
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files.length) {
    input.files = event.dataTransfer.files;
    attempt(input.files[0]);
  }
});
