# What both images are made with. The step below runs once for the two of them.
FROM scratch AS tools
COPY --from=host busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
RUN busybox cat /proc/sys/kernel/random/uuid > /build-id
