# include=common.dockerfile
RUN echo server > /name

FROM scratch
COPY --from=tools /build-id /name /
