/**
 * A DNS server on loopback, over UDP and TCP on one port. What does not fit into a datagram is cut off and marked so, and
 * comes whole over TCP, as the protocol has it (RFC 1035 section 4.2, RFC 7766).
 */
import { type Answer, decode, encode, type Packet, TRUNCATED_RESPONSE } from "dns-packet";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { freePorts } from "./ports.ts";

/** Without EDNS (RFC 1035 section 4.2.1). */
const DATAGRAM_BYTES_MAX = 512;

/** `silent` hears and says nothing; `failing` says that it failed; `garbage` is not DNS at all. */
export type DnsMood = "well" | "silent" | "failing" | "garbage";

export interface DnsServer extends AsyncDisposable {
  /** `address:port` */
  readonly address: string;
  mood: DnsMood;
  /** Records by "TYPE name"; a name without any is NXDOMAIN. */
  readonly records: Map<string, readonly Answer[]>;
  /** "TYPE name" of everything that was asked, in order. */
  readonly questions: string[];
}

const RCODE = { noError: 0, serverFailure: 2, noSuchName: 3 } as const;
const RECURSION = 0x0180;

export async function startDnsServer(): Promise<DnsServer> {
  const [port] = await freePorts(1);
  const records = new Map<string, readonly Answer[]>();
  const questions: string[] = [];
  const server = { mood: "well" as DnsMood };

  /** Undefined: nothing is said. */
  function answer(query: Buffer, bytesMax: number): Buffer | undefined {
    const packet = decode(query);
    const question = packet.questions?.[0];
    if (!question) return undefined;
    questions.push(`${question.type} ${question.name}`);
    if (server.mood === "silent") return undefined;
    if (server.mood === "garbage") return Buffer.from("what do you want of me?");
    const isKnown = [...records.keys()].some((key) => key.endsWith(` ${question.name}`));
    const code = server.mood === "failing" ? RCODE.serverFailure : isKnown ? RCODE.noError : RCODE.noSuchName;
    const reply: Packet = {
      type: "response",
      ...(packet.id === undefined ? {} : { id: packet.id }),
      flags: RECURSION | code,
      questions: [question],
    };
    const answers = code === RCODE.noError ? [...records.get(`${question.type} ${question.name}`) ?? []] : [];
    const whole = encode({ ...reply, answers });
    if (whole.length <= bytesMax) return whole;
    return encode({ ...reply, flags: RECURSION | TRUNCATED_RESPONSE });
  }

  const udp = createSocket("udp4");
  udp.on("message", (query, from) => {
    const reply = answer(query, DATAGRAM_BYTES_MAX);
    if (reply) udp.send(reply, from.port, from.address);
  });
  udp.bind(port, "127.0.0.1");
  await once(udp, "listening");

  const open = new Set<Socket>();
  const tcp = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    let heard: Buffer = Buffer.alloc(0);
    socket.on("data", (part: Buffer) => {
      heard = Buffer.concat([heard, part]);
      while (heard.length >= 2 && heard.length >= 2 + heard.readUInt16BE()) {
        const end = 2 + heard.readUInt16BE();
        const reply = answer(heard.subarray(2, end), 0xffff);
        heard = heard.subarray(end);
        if (!reply) continue;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([length, reply]));
      }
    });
  });
  tcp.listen(port, "127.0.0.1");
  await once(tcp, "listening");

  return Object.assign(server, {
    address: `127.0.0.1:${port}`,
    records,
    questions,
    async [Symbol.asyncDispose]() {
      udp.close();
      tcp.close();
      for (const socket of open) socket.destroy();
      await once(tcp, "close");
    },
  });
}
