// What the words of a command line tell of a run before they are parsed.

/** What a run reads that can be read only once. */
export interface RunForm {
  /** Standard input, or an open descriptor such as a shell's `<(…)`. */
  readonly readsOnce: boolean;
  /** The numbers of descriptors that are named as files. */
  readonly descriptors: readonly number[];
}

const DESCRIPTOR = /(?:^|=)\/(?:dev|proc\/self)\/fd\/(\d+)$/;

/** Looks for `-`, `/dev/stdin` and `/dev/fd/N`, alone or as the value of a flag. */
export function formOfRun(argv: readonly string[]): RunForm {
  const descriptors = argv.flatMap(word => {
    const number = DESCRIPTOR.exec(word)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
  const readsOnce = descriptors.length > 0 || argv.some(word => /^(?:.*=|-f)?(?:-|\/dev\/stdin)$/.test(word));
  return { readsOnce, descriptors };
}
