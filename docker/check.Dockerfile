# Looks at the bundle the way someone who unpacked it would.
FROM base
COPY --from=bundle / /bundle
WORKDIR /bundle
ARG VERSION
RUN sha256sum -c -s SHA256SUMS && echo "$(wc -l < SHA256SUMS) files match their sums"
RUN head -n 1 lib/llbake/cli.js | grep -qx '#!/usr/bin/env node' && echo "cli.js is a program"
RUN test -x bin/bake && test "$(readlink bin/bake)" = ../lib/llbake/cli.js && echo "bin/bake leads to it"
RUN grep -rqF "$VERSION" lib/llbake && test "$(cat share/llbake/version)" = "$VERSION" && echo "version $VERSION"
RUN test -e lib/llbake/node_modules/koffi/package.json && echo "the native part is there"
