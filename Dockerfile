# The book, its laboratories and its tests on a CPU: docker build -t dunfold . && docker run -p 8888:8888 dunfold
FROM python:3.12-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
WORKDIR /dunfold
COPY . .
RUN make .venv/.installed-dev TORCH_INDEX=https://download.pytorch.org/whl/cpu
EXPOSE 8888
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--allow-root", "--no-browser", "--notebook-dir=."]
