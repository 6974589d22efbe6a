/** What `help` says beyond names and options: examples that can be pasted. */
import { EXIT_CODES_HELP } from "./failure.ts";

export const PROGRAM_HELP = `
Without a command, or with "serve", a node is run; its settings are environment variables, which
"atoll serve --help" lists. The other commands speak to a node over HTTP, with the key of ATOLL_KEY (ID.SECRET).

Examples:
  atoll put photo.jpg pictures/
  atoll get pictures/photo.jpg
  atoll ls -r pictures
  atoll ring plan --drain node-a
${EXIT_CODES_HELP}`;

export const HELP: Readonly<Record<string, string>> = {
  serve: `
The settings are environment variables; "atoll serve --help" lists them.

Examples:
  atoll
  PORT=9000 ATOLL_DATA_DIR=/srv/atoll atoll serve`,

  status: `
Exit code 0 when the node is ready, 5 when it is not or nobody answers.

Examples:
  atoll status
  atoll status --url http://10.0.0.2:8080 --json
  until atoll status --quiet > /dev/null 2>&1; do sleep 1; done`,

  put: `
A destination that ends in a slash, or is only a bucket, takes files under their own names. The digest of a
small file goes ahead of it, so that a node stores exactly these bytes or none; a large one's, and standard
input's, is computed on the way and compared with what the node says it stored (--digest-first reads a large
file twice instead). The line that is printed says the version; the next --if-version may use it.

Examples:
  atoll put report.pdf docs/2026/report.pdf
  atoll put *.jpg pictures/holiday/
  tar cz src | atoll put - backups/src.tgz
  atoll put --if-none-match lock.json state/lock.json      create, never replace
  atoll put --if-version 7 new.json state/doc.json         compare and swap
  atoll put --cache-control "max-age=60" logo.svg site/logo.svg
  atoll put --meta author=ada --ttl 86400 note.txt notes/today`,

  get: `
Written under another name first, verified against its digest, and only then renamed, so FILE is always whole.
Without FILE it is the key's last part, in this directory; "-" is standard output, which is written as it
comes: only the exit code says whether the digest was right. A download that is cut keeps what it has beside
FILE, in FILE.<digest>-<random>.atoll-part, and --continue goes on from there if the object is still the same.

Examples:
  atoll get docs/2026/report.pdf
  atoll get docs/2026/report.pdf /tmp/
  atoll get --continue images/big.iso big.iso
  atoll get backups/src.tgz - | tar tz`,

  ls: `
Sizes are in bytes, times those of the last change. A prefix need not end in a slash: it is compared
character by character. Control characters in keys are shown escaped; --json has them as they are, one
document a line: { kind: "bucket" | "prefix" | "object", … }.

Examples:
  atoll ls
  atoll ls docs
  atoll ls docs/2026/
  atoll ls -r --json pictures | jq .key`,

  prewarm: `
Each chunk is loaded by the node that fetches it for its region's readers; what has a replica there lies there
already. It ends when the command is interrupted. Exit code 3: something was not there; 1: something failed.

Examples:
  atoll prewarm videos/launch.mp4
  atoll prewarm --recursive --region syd videos/2026/`,

  rm: `
An object that is not there is exit code 3, unless --force. --recursive takes prefixes: it counts what is
there and asks for the count to be typed, or takes --yes.

Examples:
  atoll rm docs/2026/report.pdf
  atoll rm --if-version 3 state/lock.json
  atoll rm --recursive docs/2025/
  atoll rm --recursive --yes scratch`,

  presign: `
Made here, without asking a node, with the key of ATOLL_KEY (ID.SECRET); it lets through what that key may do,
until it expires or the key is taken back. With PUT whoever has the URL may store that one object, again and again.

Examples:
  atoll presign docs/report.pdf
  atoll presign --method PUT --max-bytes 10000000 --content-type image/jpeg in/photo.jpg
  curl -T photo.jpg -H 'Content-Type: image/jpeg' "$(atoll presign --method PUT in/photo.jpg)"`,

  ring: `
Examples:
  atoll ring status --watch
  atoll ring plan --join node-d --drain node-a
  atoll ring drain node-a`,

  "ring status": `
Partitions are how many of the ring's a node has a replica of. --watch shows how far a move is until the
layout is settled; with --json it prints a document each time it asks.

Examples:
  atoll ring status
  atoll ring status --watch
  atoll ring status --json | jq .nodes[].id`,

  "ring plan": `
Nothing is changed. Several changes make one plan, and one move. Options may be given several times, or take
several IDs separated by commas.

Examples:
  atoll ring plan --drain node-a
  atoll ring plan --join node-d,node-e --replace node-a=node-f
  atoll ring plan --weight node-b=2 --zone node-b=fra-2 --replicas 5`,

  "ring apply": `
The plan is shown and asked about (or --yes), and then exactly that plan is applied: if the layout has changed
meanwhile, the new plan is shown and nothing is done (exit code 4). What would put data at risk is refused by
the node with the words that force it; they are typed on a terminal, or given by --confirm.

Examples:
  atoll ring apply --join node-d --drain node-a
  atoll ring apply --yes --watch --replicas 5`,

  "ring join": `
Examples:
  atoll ring join node-d node-e`,

  "ring drain": `
The node keeps serving until its replicas are elsewhere.

Examples:
  atoll ring drain node-a --watch`,

  "ring remove": `
For a node that is lost for good: what it held is copied from the other replicas. One that still runs is
better drained.

Examples:
  atoll ring remove node-a`,

  "ring replace": `
The new node takes exactly the old one's partitions, so nothing else moves.

Examples:
  atoll ring replace node-a node-f`,

  "ring weight": `
A node of weight 2 gets twice the partitions of one of weight 1.

Examples:
  atoll ring weight node-b 2`,

  "ring zone": `
Replicas go to different zones first.

Examples:
  atoll ring zone node-b fra-2`,

  "ring replicas": `
An odd number: an even one survives no more failures than the odd one below it.

Examples:
  atoll ring replicas 5`,

  "ring force-recover": `
The last resort, when a majority of the voters is gone for good and no layout can be decided any more. The
node says what may be lost and which words it wants typed.

Examples:
  atoll ring force-recover --survivors node-b`,

  help: `
Examples:
  atoll help put
  atoll help ring plan
  atoll help --json`,
};
