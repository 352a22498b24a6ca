// semvercmp(): versions against constraints such as `^1.2`, `>=1.0, <2.0 || 3.x` (the rules of Masterminds/semver 3).
import { fail, param, textOf, type BakeFunction } from "./function.ts";
import { STRING, boolValue } from "../value.ts";

interface Version {
  readonly numbers: readonly [number, number, number];
  readonly pre: string;
}

/** A bound; parts that are absent or wildcards are undefined. */
interface Bound {
  readonly operator: string;
  readonly numbers: readonly (number | undefined)[];
  readonly pre: string;
}

const VERSION = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?$/;
const BOUND =
  /^(=|!=|>=|=>|<=|=<|>|<|~>|~|\^|)\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?/;

function parseVersion(text: string): Version {
  const match = VERSION.exec(text);
  if (match === null) throw fail(`"${text}" is not a version`, "versions look like 1.2.3");
  const [major = 0, minor = 0, patch = 0] = match.slice(1, 4).map(part => Number(part || 0));
  return { numbers: [major, minor, patch], pre: match[4] ?? "" };
}

function comparePre(a: string, b: string): number {
  if (a === b) return 0;
  if (a === "") return 1;
  if (b === "") return -1;
  const [x, y] = [a.split("."), b.split(".")];
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const [p, q] = [x[i], y[i]];
    if (p === undefined) return -1;
    if (q === undefined) return 1;
    if (p === q) continue;
    const [m, n] = [/^\d+$/.test(p), /^\d+$/.test(q)];
    if (m && n) return Number(p) - Number(q);
    if (m !== n) return m ? -1 : 1;
    return p < q ? -1 : 1;
  }
  return 0;
}

function compare(version: Version, numbers: readonly number[], pre: string): number {
  for (let i = 0; i < 3; i++) {
    const difference = (version.numbers[i] ?? 0) - (numbers[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return comparePre(version.pre, pre);
}

function parseConstraint(text: string): readonly (readonly Bound[])[] {
  return text.split("||").map(alternative => {
    const bounds: Bound[] = [];
    let rest = alternative
      .replace(/\s+v?(\S+)\s+-\s+v?(\S+)/g, " >=$1 <=$2")
      .replace(/^\s*v?(\S+)\s+-\s+v?(\S+)/, ">=$1 <=$2")
      .trim();
    while (rest !== "") {
      const match = BOUND.exec(rest);
      if (match === null)
        throw fail(`"${text}" is not a version constraint`, 'constraints look like ">=1.2, <2" or "^1.2"');
      const wild = (part: string | undefined): number | undefined =>
        part === undefined || /[xX*]/.test(part) ? undefined : Number(part);
      bounds.push({
        operator: match[1] ?? "",
        numbers: [wild(match[2]), wild(match[3]), wild(match[4])],
        pre: match[5] ?? "",
      });
      const after = rest.slice(match[0].length);
      if (after !== "" && !/^[\s,]/.test(after)) throw fail(`"${text}" is not a version constraint`);
      rest = after.replace(/^\s*,?\s*/, "");
    }
    if (bounds.length === 0) throw fail(`"${text}" is not a version constraint`);
    return bounds;
  });
}

function satisfies(version: Version, { operator, numbers, pre }: Bound): boolean {
  const given = numbers.findIndex(part => part === undefined);
  const known = given < 0 ? 3 : given;
  const filled = numbers.map((part, i) => (i < known ? (part ?? 0) : 0));
  const [major = 0, minor = 0] = filled;
  // A pre-release only answers constraints that name one.
  if (version.pre !== "" && pre === "") return operator === "!=";
  if (known === 0) return operator !== "!=" && operator !== "<" && operator !== ">";
  const order = compare(version, filled, pre);
  const within = (count: number): boolean =>
    filled.slice(0, count).every((part, i) => version.numbers[i] === part);
  switch (operator) {
    case "=":
    case "":
      return known < 3 ? within(known) : order === 0;
    case "!=":
      return known < 3 ? !within(known) : order !== 0;
    case ">":
      return order > 0 && (known === 3 || !within(known));
    case "<":
      return order < 0;
    case ">=":
    case "=>":
      return order >= 0;
    case "<=":
    case "=<":
      return order <= 0 || (known < 3 && within(known));
    case "~":
    case "~>":
      return order >= 0 && within(known === 1 ? 1 : 2);
    default:
      if (order < 0) return false;
      if (major > 0 || known === 1) return within(1);
      if (minor > 0 || known === 2) return within(2);
      return within(3);
  }
}

export const versionFunctions: Readonly<Record<string, BakeFunction>> = {
  semvercmp: {
    params: [param("version", STRING), param("constraint", STRING)],
    call: args => {
      const version = parseVersion(textOf(args, 0));
      const alternatives = parseConstraint(textOf(args, 1));
      return boolValue(alternatives.some(bounds => bounds.every(bound => satisfies(version, bound))));
    },
  },
};
