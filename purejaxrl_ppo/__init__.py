"""PPO in the PureJaxRL manner for any gymnax environment."""
