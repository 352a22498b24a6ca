// STOPSIGNAL: the signal that asks a container of the image to stop.
import { lowerError, readOne } from "../arguments.ts";
import { didYouMean } from "../../../diagnostic/suggest.ts";
import { addHistory } from "../imageconfig.ts";
import type { InstructionKind } from "../model.ts";
import { expand } from "../steps.ts";

/** Linux's names (signal(7)); real-time signals are counted from both ends of their range. */
const SIGNALS: ReadonlySet<string> = new Set([
  ..."ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX".split(
    " ",
  ),
  ...Array.from({ length: 15 }, (_, i) => `RTMIN+${i + 1}`),
  ...Array.from({ length: 14 }, (_, i) => `RTMAX-${i + 1}`),
]);

export const stopsignal: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    const written = readOne(line);
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        const signal = expand(written, line, stage, conversion);
        const name = signal.toUpperCase().replace(/^SIG/, "");
        const isNumber = /^[+-]?\d+$/.test(signal);
        if (isNumber ? Number(signal) === 0 : !SIGNALS.has(name)) {
          throw lowerError(
            `STOPSIGNAL has the unknown signal "${signal}"`,
            line,
            didYouMean(name, SIGNALS) ?? "write a name such as SIGTERM or a number",
          );
        }
        stage.draft.stopSignal = signal;
        addHistory(stage.draft, `STOPSIGNAL ${signal}`, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};
