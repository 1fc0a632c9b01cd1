"""Seconds to train eight Max-of-4 seeds with the published recipe."""

import time

from pessimal.train import TrainConfig, sampled_accuracy, train_max_of_k

SEEDS = [50, 104, 123, 519, 742, 913, 1185, 1283]


def main() -> None:
    config = TrainConfig()
    start = time.perf_counter()
    models = train_max_of_k(config, SEEDS)
    seconds = time.perf_counter() - start
    print(f"{len(SEEDS)} seeds, {config.steps} steps, k={config.k}, threads={config.threads}: {seconds:.1f} s")
    for model in models:
        print(f"seed {model.seed}: loss {model.loss:.4f} nats, sampled accuracy {sampled_accuracy(model):.4f}")


if __name__ == "__main__":
    main()
