// EXPOSE: ports the image listens on, `8080`, `8000-8010/udp`.
import { lowerError, readFlags, readWords, syntaxError } from "../arguments.ts";
import { compareUtf8 } from "../../../oci/json.ts";
import { addHistory } from "../imageconfig.ts";
import { canonicalIp } from "../ipaddress.ts";
import type { Linter } from "../lint.ts";
import type { InstructionKind } from "../model.ts";
import type { InstructionLine } from "../parse.ts";
import { environmentOf, located } from "../steps.ts";
import { cut, goList } from "../text.ts";
import { expandWord } from "../words.ts";

export const expose: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    const words = [...readWords(line.rest)].sort(compareUtf8);
    if (words.length === 0) throw syntaxError("EXPOSE needs at least one argument", line);
    readFlags(line, {});
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        const linter = conversion.linter.withComments(line.comments);
        // Variables may hold several ports.
        const environment = environmentOf(stage);
        const expanded = words.flatMap(
          word => located(line, () => expandWord(word, environment, { escape: conversion.escape })).words,
        );
        const ports = expanded.flatMap(word => readPorts(word, line, linter));
        for (const port of ports) stage.draft.ports.add(port);
        addHistory(stage.draft, `EXPOSE ${goList(ports)}`, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};

/** Reads `[[ip:]host:]port[-port][/protocol]`; what is before the container's port is checked and dropped. */
function readPorts(text: string, line: InstructionLine, linter: Linter): readonly string[] {
  const invalid = (why: string): Error =>
    lowerError(
      `EXPOSE has the invalid port "${text}": ${why}`,
      line,
      "write for example 8080, 53/udp or 8000-8010",
    );
  const parts = text.split(":");
  const last = parts.at(-1) ?? "";
  const host = parts.length > 1 ? (parts.at(-2) ?? "") : "";
  const ip = parts.slice(0, -2).join(":");
  const [container, written] = cut(last, "/") ?? [last, ""];
  if (container === "") throw invalid("there is no port");
  const protocol = written === "" ? "tcp" : written.toLowerCase();
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw invalid(`"${written}" is not a protocol`);
  if (written !== written.toLowerCase())
    linter.warn(
      "ExposeProtoCasing",
      `Defined protocol '${text}' in EXPOSE instruction should be lowercase`,
      line.range,
    );
  if (ip !== "" || host !== "") {
    linter.warn(
      "ExposeInvalidFormat",
      `EXPOSE instruction should not define an IP address or host-port mapping, found '${text}'`,
      line.range,
    );
  }
  if (ip !== "" && canonicalIp(ip.replace(/^\[(.*)\]$/, "$1")) === undefined)
    throw invalid(`"${ip}" is not an IP address`);
  const range = readRange(container);
  if (range === undefined)
    throw invalid(`"${container}" is not a port between 0 and 65535 or a range of them`);
  if (host !== "") {
    const hostRange = readRange(host);
    if (hostRange === undefined) throw invalid(`"${host}" is not a port or a range`);
    const sameLength = hostRange.last - hostRange.first === range.last - range.first;
    if (!sameLength && range.last !== range.first) throw invalid("the two ranges differ in length");
  }
  return Array.from({ length: range.last - range.first + 1 }, (_, i) => `${range.first + i}/${protocol}`);
}

function readRange(text: string): { readonly first: number; readonly last: number } | undefined {
  const [from, to] = cut(text, "-") ?? [text, text];
  const first = readPort(from);
  const last = readPort(to);
  return first === undefined || last === undefined || last < first ? undefined : { first, last };
}

function readPort(text: string): number | undefined {
  return /^\+?\d+$/.test(text) && Number(text) <= 65535 ? Number(text) : undefined;
}
