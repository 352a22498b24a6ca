// How much longer than an empty Node program the commands take that build nothing: `node bench/startup.mjs [rounds]`.
import { compare, printRow, program, root, run } from "./measure.mjs";

const rounds = Number(process.argv[2] ?? 21);
const bare = () => run(process.execPath, ["-e", "0"], { cwd: root });

for (const args of [["--version"], ["--help"], ["--print"]]) {
  const result = await compare(() => run(process.execPath, [program, ...args], { cwd: root }), bare, {
    rounds,
    warmups: 2,
  });
  printRow(`bake ${args.join(" ")}`, result, "node -e 0");
}
