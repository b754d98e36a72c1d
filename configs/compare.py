"""Strategies side by side on a table; by default the one that comes with the library, no download.

python -m launch.compare
python -m launch.compare --config.table=TABLE.npz --config.metric=COLUMN --config.seeds=10000
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    # A file (see launch.import_table), or the name of an embedded table.
    config.table = "nasbench201_digits"
    # The space of a table of your own code, "package.module:function": nothing that a file alone names is run.
    config.space = ""
    # The column that strategies see, averaged over its trainings ("mean") or one of them drawn each time ("random").
    config.metric = "validation_loss"
    config.noise = "mean"
    # A column that they do not see, reported of what each would have recommended; "" for none.
    config.test_metric = ""
    # Names with arguments where they should differ from the defaults below: local_search,mcts(seeds=50)
    config.strategies = (
        "random_search,regularized_evolution,local_search,mcts,hyperband,"
        "reinforce(seeds=200),ppo(seeds=200),bananas(seeds=200)"
    )
    config.seeds = 1000
    # Of each search, in trainings of the largest budget.
    config.evaluations = 300
    config.population_size = 50
    config.tournament_size = 10
    # Stop a search once the trainings it asked for would have taken so long; 0 for no limit.
    config.limit_seconds = 0.0
    # Columns of costs, separated by commas: strategies are then measured by the front that they find.
    config.costs = ""
    # From where its hypervolume is measured; "fitness" and costs not given are the worst in the table.
    config.reference_point = {}
    # Or let them see fitness and a cost as one number; without a name, not.
    config.objective = {"name": ""}
    # Draw published results: BENCHMARK/DATASET/SPLIT out of third_party/published.json.
    config.published = ""
    return config.lock()
