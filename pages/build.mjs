// Builds the pages of the functions: `make page`.
//
//   node build.mjs [ROOT]
//
// For each page a folder below ROOT (the checkout if left out) gets its files, with the hash of their contents in their
// names, the licences of the libraries in them, and a manifest of all that. The same sources give the same bytes.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(process.argv[2] ?? join(HERE, ".."));
const PAGES = { lookup: "shared/lookup/page", ingest: "shared/ingest/control/page" };
const TYPES = { js: "text/javascript", css: "text/css", svg: "image/svg+xml", html: "text/html", txt: "text/plain" };

const digest = (content) => createHash("sha256").update(content).digest("hex");

/** All that a page is made of, by its path from here; `tests/deploy/test_pages.py` reckons the same. */
function sources(name) {
  const below = (folder) =>
    readdirSync(join(HERE, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(HERE, join(entry.parentPath, entry.name)));
  return [...below("common"), ...below(name), "build.mjs", "package-lock.json", "tsconfig.json"].sort();
}

function digestOfSources(name) {
  const lines = sources(name).map((path) => `${path} ${digest(readFileSync(join(HERE, path)))}\n`);
  return digest(lines.join(""));
}

/** The libraries whose files went into a bundle, with their versions and licences. */
function librariesOf(metafile) {
  const names = new Set();
  for (const input of Object.values(metafile.outputs).flatMap((output) => Object.keys(output.inputs))) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) names.add(match[1]);
  }
  return [...names].sort().map((name) => {
    const folder = join(HERE, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.\w+)?$/i.test(entry));
    return { name, version, license, text: readFileSync(join(folder, file), "utf8").trim() };
  });
}

async function bundle(name) {
  const result = await build({
    absWorkingDir: HERE,
    entryPoints: { page: `${name}/main.ts`, style: `${name}/style.css` },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none", // their licences are in a file of their own
    outdir: "out",
    write: false,
    metafile: true,
    logLevel: "warning",
  });
  const files = Object.fromEntries(result.outputFiles.map((file) => [file.path.split(".").at(-1), file.contents]));
  return { script: files.js, style: files.css, libraries: librariesOf(result.metafile) };
}

async function buildPage(name) {
  const { script, style, libraries } = await bundle(name);
  const files = {};
  const hashed = (stem, kind, content) => {
    const file = `${stem}-${digest(content).slice(0, 10)}.${kind}`;
    files[file] = content;
    return file;
  };
  const names = {
    script: hashed(name, "js", script),
    style: hashed(name, "css", style),
    icon: hashed("icon", "svg", readFileSync(join(HERE, "common", "icon.svg"))),
    licences: hashed(
      "licences",
      "txt",
      libraries.map((one) => `${one.name} ${one.version} (${one.license})\n\n${one.text}\n`).join(`\n${"-".repeat(78)}\n\n`),
    ),
  };
  const template = readFileSync(join(HERE, name, "index.html"), "utf8");
  files["index.html"] = template.replace(/\{\{(\w+)\}\}/g, (_, key) => `assets/${names[key]}`);

  const folder = join(ROOT, PAGES[name]);
  mkdirSync(folder, { recursive: true });
  for (const old of readdirSync(folder)) {
    if (!/\.py$|^__pycache__$/.test(old)) rmSync(join(folder, old));
  }
  const listed = {};
  for (const file of Object.keys(files).sort()) {
    writeFileSync(join(folder, file), files[file]);
    listed[file] = { type: TYPES[file.split(".").at(-1)], sha256: digest(files[file]) };
  }
  const manifest = {
    sources: digestOfSources(name),
    libraries: Object.fromEntries(libraries.map((one) => [one.name, one.version])),
    files: listed,
  };
  writeFileSync(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
}

for (const name of Object.keys(PAGES)) {
  if (existsSync(join(HERE, name, "main.ts"))) await buildPage(name);
}
