# docker build -t unrolled . && docker run --rm -p 7860:7860 unrolled
# An index with CPU builds of PyTorch makes the image several GB smaller: --build-arg PIP_EXTRA_INDEX_URL=...
FROM python:3.11-slim

ARG PIP_EXTRA_INDEX_URL=
RUN useradd --create-home visitor
WORKDIR /home/visitor/unrolled
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=visitor . .
USER visitor
EXPOSE 7860
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
