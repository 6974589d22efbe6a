# One file on a slim image. `docker run -p 127.0.0.1:8080:8080 -v atoll:/data -e ATOLL_HOST=:: …`; fly.toml does it on Fly.io.
FROM node:26-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc tsconfig.json ./
RUN npm ci
COPY src src
COPY test/tools test/tools
RUN npm run build

FROM node:26-slim
# A volume that is mounted here belongs to whom the directory belonged to (Docker), or to the image's user (Fly.io).
RUN mkdir /data && chown node:node /data
COPY --from=build /src/dist/atoll.mjs /atoll/atoll.mjs
ENV NODE_ENV=production ATOLL_DATA_DIR=/data
WORKDIR /atoll
USER node
EXPOSE 8080 8081
# Without a shell in between, so that signals reach the node, which drains and ends by itself.
CMD ["node", "/atoll/atoll.mjs"]
