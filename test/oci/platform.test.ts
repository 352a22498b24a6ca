import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatPlatform,
  matchesPlatform,
  normalizePlatform,
  parsePlatform,
  platformFromNode,
  platformPreference,
} from "../../src/oci/platform.ts";

const host = { os: "linux", architecture: "amd64" };
const read = (text: string): string => formatPlatform(parsePlatform(text, host));

test("spellings of a platform lead to one form", () => {
  const rows = {
    "linux/amd64": ["linux/x86_64", "linux/amd64/v1", "LINUX/AMD64", "amd64", "linux", "x86-64"],
    "linux/arm64": ["linux/aarch64", "linux/arm64/v8", "linux/arm64/8", "arm64"],
    "linux/arm64/v9": ["linux/arm64/9.0", "linux/arm64/v9"],
    "linux/arm/v7": ["linux/arm", "linux/armhf", "linux/arm/7", "armhf"],
    "linux/arm/v6": ["linux/armel", "linux/arm/6"],
    "linux/386": ["linux/i386", "386"],
    "darwin/arm64": ["macos/arm64"],
    "linux/amd64/v3": ["linux/amd64/V3"],
  };
  for (const [form, spellings] of Object.entries(rows))
    for (const text of spellings) assert.equal(read(text), form, text);
});

test("what is no platform is refused with its reason", () => {
  for (const text of ["", "linux/amd64/v1/x", "linux/*", "amiga", "linux/", "li nux/amd64", "/amd64"]) {
    assert.throws(() => parsePlatform(text, host), { code: "platform-invalid" }, text);
  }
});

test("the version of an operating system is kept", () => {
  assert.deepEqual(parsePlatform("windows(10.0.17763)/amd64", host), {
    os: "windows",
    architecture: "amd64",
    osVersion: "10.0.17763",
  });
});

test("matching looks through spellings, and tells variants apart", () => {
  assert.equal(
    matchesPlatform(
      { os: "linux", architecture: "arm64" },
      { os: "linux", architecture: "aarch64", variant: "v8" },
    ),
    true,
  );
  assert.equal(
    matchesPlatform(
      { os: "linux", architecture: "arm", variant: "v7" },
      { os: "linux", architecture: "arm", variant: "v6" },
    ),
    false,
  );
});

test("older variants serve newer ones, nearest first", () => {
  const ladder = (text: string): readonly string[] =>
    platformPreference(parsePlatform(text, host)).map(formatPlatform);
  assert.deepEqual(ladder("linux/arm"), ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]);
  assert.deepEqual(ladder("linux/amd64/v3"), ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"]);
  assert.deepEqual(ladder("linux/amd64"), ["linux/amd64"]);
});

test("normalising twice changes nothing", () => {
  for (const architecture of ["x86_64", "aarch64", "armhf", "armel", "arm", "riscv64", "i386"]) {
    const once = normalizePlatform({ os: "Linux", architecture });
    assert.deepEqual(normalizePlatform(once), once);
  }
});

test("Node's names of machines are understood", () => {
  assert.equal(formatPlatform(platformFromNode("linux", "x64")), "linux/amd64");
  assert.equal(formatPlatform(platformFromNode("linux", "arm64")), "linux/arm64");
  assert.equal(formatPlatform(platformFromNode("win32", "ia32")), "windows/386");
});
