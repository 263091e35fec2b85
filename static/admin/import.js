// The page that asks for an import: what is chosen is looked at once, and files are sent with a bar that says how far.

const choice = document.querySelector("select[name=path]");
choice?.addEventListener("change", () => {
  if (choice.value) location.search = new URLSearchParams({ path: choice.value });
});

const form = document.getElementById("upload");
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const size = [...form.elements.files.files].reduce((sum, file) => sum + file.size, 0);
  const limit = Number(form.dataset.limit);
  if (size > limit) say(`The files have ${bytes(size)}; at most ${bytes(limit)} are taken. Copy them to the folder instead.`);
  else send(size);
});

/** Send the form; its answer names the page to go on with, or what is wrong. */
function send(size) {
  const [bar, button] = [form.querySelector("progress"), form.querySelector("[type=submit]")];
  const request = Object.assign(new XMLHttpRequest(), { responseType: "json" });
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    Object.assign(bar, { value: loaded, max: total, hidden: false });
    say(`${bytes(Math.min(loaded, size))} of ${bytes(size)}`);
  });
  const ended = (sentence) => {
    Object.assign(bar, { hidden: true });
    button.disabled = false;
    say(sentence);
  };
  request.addEventListener("load", () => {
    if (request.response?.url) location.assign(request.response.url);
    else ended(request.response?.error ?? `The server answered ${request.status}.`);
  });
  request.addEventListener("error", () => ended("The connection broke off. Nothing was kept; send the files again."));
  button.disabled = true;
  request.send(new FormData(form));
}

function say(sentence) {
  form.querySelector("[role=status]").textContent = sentence;
}

function bytes(count) {
  const power = count < 1 ? 0 : Math.min(4, Math.floor(Math.log2(count) / 10));
  return `${(count / 1024 ** power).toFixed(power ? 1 : 0)} ${["bytes", "KiB", "MiB", "GiB", "TiB"][power]}`;
}
