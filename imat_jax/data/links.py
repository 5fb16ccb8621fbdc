import re


def is_link(text: str) -> bool:
  return bool(re.match(r'https?://.', text, re.IGNORECASE))
