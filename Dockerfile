# The README's two commands:
#   docker build -t sfddm .
#   docker run --name table sfddm && docker cp table:/sfddm/reports .    # make table
#   docker run --rm sfddm make test
FROM python:3.13-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc git libc6-dev make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /sfddm
COPY . .
RUN make install

CMD ["make", "table"]
