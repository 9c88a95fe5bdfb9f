# The actor's image: the interpreter, what requirements.txt pins, and this actor. The database is
# elsewhere: `mongodb.authn` names it. `make image` gives the base image with its digest.
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS packages
COPY requirements.txt /requirements.txt
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --no-compile \
    --require-hashes --prefix /packages -r /requirements.txt

FROM ${PYTHON}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/work
COPY --from=packages /packages /usr/local
COPY addresses /addresses
COPY strictjson /strictjson
COPY yamlfiles /yamlfiles
COPY reactors /reactors
COPY datacatalog /datacatalog
COPY manager /manager
COPY schemas /schemas
COPY message.jsonschema config.yml reactor.py /
# a platform may run it as any user, who has to read all of this and write to /work
RUN python3 -m pip uninstall --quiet --yes --root-user-action=ignore pip \
    && python3 -W ignore -m compileall -q /usr/local/lib/python3*/site-packages /addresses /strictjson /yamlfiles /reactors /datacatalog /manager \
    && chmod -R a+rX /addresses /strictjson /yamlfiles /reactors /datacatalog /manager /schemas /message.jsonschema /config.yml /reactor.py \
    && useradd --uid 10001 --no-create-home --home-dir /work actor \
    && install --directory --owner=actor --mode=1777 /work

USER 10001
WORKDIR /work
CMD ["python3", "/reactor.py"]
