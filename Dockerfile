# One image for the API, the workers and the migration; docker-compose.yml says which is which.
FROM node:24-bookworm-slim AS base
WORKDIR /app

# Only what decides which packages are installed, so that a change of source does not install them again.
FROM base AS manifests
COPY package.json package-lock.json .npmrc /source/
COPY packages /source/packages
COPY apps /source/apps
COPY flows /source/flows
RUN cd /source \
 && find . -type f -not -name package.json -not -name package-lock.json -not -name .npmrc -delete \
 && find . -type d -empty -delete

FROM base AS dependencies
COPY --from=manifests /source ./
# None of the packages that run in production needs an install script.
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force

FROM base AS runtime
ENV NODE_ENV=production \
    MILLRACE_HOST=0.0.0.0 \
    MILLRACE_HOME=/var/lib/millrace
RUN install --directory --owner=node --group=node --mode=0750 /var/lib/millrace
COPY --from=dependencies /app ./
COPY packages ./packages
COPY apps ./apps
COPY flows ./flows
USER node
VOLUME /var/lib/millrace
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.MILLRACE_PORT || 8080) + '/health/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=8", "apps/api/src/main.ts"]
