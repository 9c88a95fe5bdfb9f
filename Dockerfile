# The actor's image: the interpreter, what requirements.txt pins, and this actor. The database is
# elsewhere: `mongodb.authn` names it.
ARG PYTHON=python:3.12-slim
FROM ${PYTHON}

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

COPY requirements.txt /requirements.txt
RUN pip install --no-cache-dir --disable-pip-version-check -r /requirements.txt

COPY reactors /reactors
COPY datacatalog /datacatalog
COPY manager /manager
COPY schemas /schemas
COPY message.jsonschema config.yml reactor.py /
RUN python3 -m compileall -q /reactors /datacatalog /manager \
    && useradd --create-home --home-dir /work actor

USER actor
WORKDIR /work
CMD ["python3", "/reactor.py"]
