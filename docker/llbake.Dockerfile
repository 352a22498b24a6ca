# The package of llbake, laid out as it is installed, and the images made of it.
FROM base AS pack
WORKDIR /package
COPY dist lib/llbake
COPY node_modules/koffi lib/llbake/node_modules/koffi
COPY node_modules/@koromix lib/llbake/node_modules/@koromix
COPY schemas share/llbake/schemas
COPY docs README.md LICENSE share/doc/llbake/
ARG VERSION
RUN mkdir bin \
 && ln -s ../lib/llbake/cli.js bin/bake \
 && echo "$VERSION" > share/llbake/version \
 && find lib share -type f | sort | xargs sha256sum > SHA256SUMS

FROM scratch AS bundle
COPY --from=pack /package /

FROM scratch AS carrier
COPY --from=pack /package /usr/local
WORKDIR /usr/local

FROM base AS shell
COPY --from=pack /package /usr/local
ENV PATH=/usr/local/bin:/bin
WORKDIR /usr/local
USER 1000:1000
CMD ["ls", "-l", "/usr/local"]
