// The text of a Mockerfile as images with places. Every problem is reported, each at its range; the `yaml` package
// knows the syntax, this file what the words mean.
import { isMap, isScalar, isSeq, parseDocument } from "yaml";
import type { Diagnosed, Diagnostic } from "../../diagnostic/diagnostic.ts";
import type { Range, Source } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { managers } from "./install.ts";

/** A word of the file, and where it stands. */
export interface Text {
  readonly value: string;
  readonly range: Range;
}

export interface MockImage {
  readonly name: Text;
  /** An image above, a named context, `scratch` or an image of a registry. */
  readonly from: Text;
  readonly package: MockPackage | undefined;
  readonly env: readonly (readonly [name: string, value: string])[];
  /** Empty: that of the base. */
  readonly cmd: readonly string[];
}

export interface MockPackage {
  /** A name of the managers' table. */
  readonly manager: string;
  /** The named context that archives are in; undefined is the main context. */
  readonly from: Text | undefined;
  readonly install: readonly Text[];
  readonly range: Range;
}

const VERSION = "v1alpha1";
/** Names become words of a shell command or file names, so they hold nothing either would interpret. */
const PACKAGE_NAME = /^[A-Za-z0-9][A-Za-z0-9+._:=~-]*$/;
const IMAGE_NAME = /^[a-z0-9][a-z0-9._-]*$/;

/** Never throws; a value comes only with no errors. */
export function readMockerfile(source: Source): Diagnosed<readonly MockImage[]> {
  const diagnostics: Diagnostic[] = [];
  const report: Report = (message, range, hint) => {
    const place = { severity: "error", code: "buildfile-invalid", message, range } as const;
    diagnostics.push({ ...place, ...(hint !== undefined && { hint }) });
  };
  const node = parseText(source, report);
  const images = node === undefined ? [] : readImages(node, createReader(source, report));
  diagnostics.sort((a, b) => (a.range?.start ?? 0) - (b.range?.start ?? 0));
  return { value: diagnostics.length === 0 ? images : undefined, diagnostics };
}

type Report = (message: string, range: Range, hint?: string) => void;
type Reader = ReturnType<typeof createReader>;

function parseText(source: Source, report: Report): unknown {
  const whole = { source, start: 0, end: Math.max(0, source.text.search(/[\r\n]|$/)) };
  try {
    const document = parseDocument(source.text, { prettyErrors: false, logLevel: "silent" });
    // Places past the end stand for what is missing there.
    const offset = (at: number): number => Math.min(at, source.text.length);
    for (const { message, pos } of document.errors)
      report(`cannot read the YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`, {
        source,
        start: offset(pos[0]),
        end: offset(pos[1]),
      });
    if (document.errors.length > 0) return undefined;
    if (document.contents === null) report("the Mockerfile is empty", whole, "it needs a list of images");
    return document.contents ?? undefined;
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
    report("cannot read the YAML: it is nested too deeply", whole);
    return undefined;
  }
}

function readImages(node: unknown, reader: Reader): readonly MockImage[] {
  const file = reader.fields(node, "a Mockerfile", ["apiVersion", "images"], ["images"]);
  const version = reader.text(file.get("apiVersion"), "apiVersion");
  if (version !== undefined && version.value !== VERSION)
    reader.report(`unknown apiVersion "${version.value}"`, version.range, `write ${VERSION}`);
  const images: MockImage[] = [];
  for (const item of reader.items(file.get("images"), "images")) {
    const image = readImage(item, reader);
    if (image === undefined) continue;
    if (images.some(({ name }) => name.value === image.name.value))
      reader.report(
        `the image "${image.name.value}" is defined twice`,
        image.name.range,
        "rename one of them",
      );
    images.push(image);
  }
  return images;
}

function readImage(node: unknown, reader: Reader): MockImage | undefined {
  const fields = reader.fields(node, "an image", ["name", "from", "package", "env", "cmd"], ["name", "from"]);
  const name = reader.text(fields.get("name"), "name");
  const from = reader.text(fields.get("from"), "from");
  if (name !== undefined && !IMAGE_NAME.test(name.value))
    reader.report(`invalid name "${name.value}"`, name.range, "use lower-case letters, digits, . _ and -");
  const env = [...reader.fields(fields.get("env"), "env")].map(
    ([key, value]) => [key, reader.text(value, key)?.value ?? ""] as const,
  );
  const cmd = reader
    .items(fields.get("cmd"), "cmd")
    .map(item => reader.text(item, "a word of cmd")?.value ?? "");
  const packages = fields.has("package") ? readPackage(fields.get("package"), reader) : undefined;
  return name === undefined || from === undefined ? undefined : { name, from, package: packages, env, cmd };
}

function readPackage(node: unknown, reader: Reader): MockPackage {
  const fields = reader.fields(node, "package", ["manager", "from", "install"], ["install"]);
  const manager = reader.text(fields.get("manager"), "manager");
  const from = reader.text(fields.get("from"), "from");
  const install = reader
    .items(fields.get("install"), "install")
    .flatMap(item => reader.text(item, "a package name") ?? []);
  for (const { value, range } of install)
    if (!PACKAGE_NAME.test(value)) reader.report(`invalid package name "${value}"`, range);
  const known = Object.keys(managers);
  if (manager !== undefined && !known.includes(manager.value))
    reader.report(
      `unknown package manager "${manager.value}"`,
      manager.range,
      didYouMean(manager.value, known) ?? `known: ${known.join(", ")}`,
    );
  if (from !== undefined && manager?.value !== "archives")
    reader.report("only archives are taken from a context", from.range, "write manager: archives");
  return { manager: manager?.value ?? "apt", from, install, range: reader.rangeOf(node) };
}

/** Takes nodes for what they should be; what they are not is reported and read as if it were not there. */
function createReader(source: Source, report: Report) {
  const rangeOf = (node: unknown): Range => {
    const at = isMap(node) || isSeq(node) || isScalar(node) ? node.range : undefined;
    const [start, end] = at ?? [0, 0];
    return { source, start, end };
  };
  return {
    report,
    rangeOf,
    /** The values of a map by their keys. `known`: all keys there are, any by default. */
    fields(node: unknown, what: string, known?: readonly string[], required: readonly string[] = []) {
      const fields = new Map<string, unknown>();
      if (node === undefined) return fields;
      if (!isMap(node)) {
        report(`${what} is not a map`, rangeOf(node), "write key: value");
        return fields;
      }
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? String(key.value) : "";
        if (known === undefined || known.includes(name)) fields.set(name, value ?? undefined);
        else
          report(
            `${what} has no "${name}"`,
            rangeOf(key),
            didYouMean(name, known) ?? `known: ${known.join(", ")}`,
          );
      }
      for (const name of required)
        if (!fields.has(name))
          report(`${what} needs "${name}"`, { ...rangeOf(node), end: rangeOf(node).start + 1 });
      return fields;
    },
    items(node: unknown, what: string): readonly unknown[] {
      if (node === undefined) return [];
      if (isSeq(node)) return node.items;
      report(`${what} is not a list`, rangeOf(node), "write [a, b]");
      return [];
    },
    /** A scalar as it is written; a number is no less a text. */
    text(node: unknown, what: string): Text | undefined {
      if (node === undefined) return undefined;
      const value = isScalar(node) && node.value !== null ? (node.source ?? "") : "";
      if (value !== "") return { value, range: rangeOf(node) };
      report(`${what} is not a text`, rangeOf(node));
      return undefined;
    },
  };
}
