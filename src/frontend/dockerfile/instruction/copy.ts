// COPY: files of the context, of a stage or of an image.
import { lowerError, readFlags } from "../arguments.ts";
import type { InstructionKind } from "../model.ts";
import { joinPath } from "../../../llb/path.ts";
import { lowerTransfer, readTransfer } from "../transfer.ts";

export const copy: InstructionKind = {
  heredocs: true,
  counted: true,
  parse(line) {
    const paths = readTransfer(line);
    const flags = readFlags(line, {
      chown: "text",
      from: "text",
      chmod: "text",
      link: "bool",
      exclude: "list",
      parents: "bool",
    });
    const from = flags.from ?? "";
    return {
      line,
      sources: from === "" ? [] : [{ name: from, byIndex: true }],
      lower(stage, conversion, [source]) {
        if (source !== undefined && !source.dispatched) {
          throw lowerError(
            `COPY cannot read from stage "${from}", which is not built yet`,
            line,
            "define the stage before the one that uses it",
          );
        }
        const copied = lowerTransfer(stage, conversion, {
          line,
          paths,
          from: source?.state ?? conversion.buildContext,
          isAdd: false,
          chown: flags.chown ?? "",
          chmod: flags.chmod ?? "",
          checksum: "",
          link: flags.link === true,
          parents: flags.parents === true,
          excludes: (flags.exclude ?? []).map(({ value }) => value),
          ignore: source === undefined ? conversion.ignore : undefined,
          unpack: undefined,
          keepGitDir: undefined,
        });
        for (const path of copied) (source?.paths ?? stage.contextPaths).add(joinPath("/", path));
      },
    };
  },
};
