"""Extensions: what runs beside the pipelines and reads what they stored."""
