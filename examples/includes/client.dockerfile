# include=common.dockerfile
RUN echo client > /name

FROM scratch
COPY --from=tools /build-id /name /
