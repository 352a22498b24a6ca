// IP addresses in options and in EXPOSE, without asking the machine.

const IPV4 = /^(?:(?:0|[1-9]\d{0,2})(?:\.(?!$)|$)){4}$/;

/** An address as Go prints it (IPv6 shortened, IPv4 within IPv6 as IPv4); undefined when the text is none. */
export function canonicalIp(text: string): string | undefined {
  if (IPV4.test(text)) return text.split(".").every(part => Number(part) <= 255) ? text : undefined;
  if (!/^[0-9a-f:.]+$/i.test(text) || !text.includes(":")) return undefined;
  let short: string;
  try {
    short = new URL(`http://[${text}]`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(short);
  if (mapped === null) return short;
  const [high, low] = [Number.parseInt(mapped[1] ?? "0", 16), Number.parseInt(mapped[2] ?? "0", 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}
