# One image for every service: the command names the entry, e.g. services/planner/main.js.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY libs libs
COPY services services
COPY agent agent
COPY cli cli
COPY lab lab
RUN npm run build

FROM node:22-bookworm-slim
ENV NODE_ENV=production
# What the power drivers ipmi and ssh run.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ipmitool openssh-client \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force
COPY --from=build /app/dist dist
COPY lab/traces lab/traces
COPY services/console/public services/console/public
# A named volume takes over these owners; without them only root could write there.
RUN mkdir /rack && chown node:node /rack
USER node
WORKDIR /app/dist
ENTRYPOINT ["node"]
CMD ["cli/main.js", "--help"]
