# A base image without a registry: the host's static busybox, with a link for each of its applets.
FROM scratch
COPY --from=host busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
CMD ["sh"]
