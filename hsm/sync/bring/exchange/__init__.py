"""One exchange: survey, plan, refuse or send, record."""
