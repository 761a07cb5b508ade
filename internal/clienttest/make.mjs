// Makes a client of the OpenAPI document in the first argument, in that one's folder: it is
// held against Redocly's recommended rules, its types are generated, and job.ts is compiled
// with them. What is wrong is printed, and the exit code is 1.
import { spawnSync } from "node:child_process";
import { copyFileSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";

const here = import.meta.dirname;
const document = process.argv[2];
const folder = dirname(document);

for (const name of ["job.ts", "tsconfig.json", "package.json"]) {
  copyFileSync(join(here, name), join(folder, name));
}
symlinkSync(join(here, "node_modules"), join(folder, "node_modules"));

function run(script, ...args) {
  const done = spawnSync(process.execPath, [join(here, "node_modules", script), ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true", NO_COLOR: "1" },
  });
  if (done.status !== 0) {
    console.log(done.stdout + done.stderr);
    process.exit(1);
  }
  return done.stdout;
}

const found = JSON.parse(run("@redocly/cli/bin/cli.js", "lint", "--extends", "recommended", "--format", "json", document));
if (found.problems.length > 0) {
  console.log(JSON.stringify(found.problems, null, 1));
  process.exit(1);
}
run("openapi-typescript/bin/cli.js", document, "--output", join(folder, "api.d.ts"));
run("typescript/bin/tsc", "--project", folder);
