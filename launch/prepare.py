"""Prepare a dataset of TensorFlow Datasets for the task `tfds`: by download, or from local images.

    jaxnas prepare --dataset=cifar10
    jaxnas prepare --dataset=cifar10 --npz=cifar10.npz         # x_train, y_train, x_test, y_test
    jaxnas prepare --dataset=mine --npz=mine.npz --data_dir=DIR

Local images become a dataset of that name, whether TensorFlow Datasets knows it or not. They need no TensorFlow; some
downloads do, and say so.
"""

from absl import flags

from jaxnas.tasks.preparation import prepare

from . import command


def main() -> None:
    print(f"{prepare(DATASET.value, DATA_DIR.value, NPZ.value)} is prepared")


if __name__ == "__main__":
    DATASET = flags.DEFINE_string("dataset", None, "Its name.", required=True)
    DATA_DIR = flags.DEFINE_string("data_dir", None, "Where to; by default ~/tensorflow_datasets.")
    NPZ = flags.DEFINE_string("npz", None, "Local images to make it of, instead of a download.")
    command.run(main)
