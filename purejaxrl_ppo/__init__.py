"""PPO in the PureJaxRL manner for any gymnax environment."""

from purejaxrl_ppo.config import Hyperparameters, PPOConfig
from purejaxrl_ppo.train import TrainResult, TrainState, make_train, make_trainer

__all__ = ["Hyperparameters", "PPOConfig", "TrainResult", "TrainState", "make_train", "make_trainer"]
