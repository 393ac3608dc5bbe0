"""Reference values of the text metrics: rouge_score's rougeL F1 without stemming and nltk's corpus_bleu.

    pip install rouge-score nltk && python tests/reference/make_text_metrics.py

writes tests/reference/data/text_metrics.json.
"""

import json
import re
from pathlib import Path

from nltk.translate.bleu_score import corpus_bleu
from rouge_score.rouge_scorer import RougeScorer

PAIRS = [
    ("The heart is normal in size. The lungs are clear.", "Heart size is normal. The lungs are clear."),
    ("No pleural effusion or pneumothorax.", "There is no pneumothorax or pleural effusion."),
    ("There is a small left pleural effusion with adjacent atelectasis.", "Small left pleural effusion."),
    ("Degenerative changes of the spine are noted.", "The lungs are clear. The lungs are clear."),
    ("A 12 mm nodule projects over the right upper zone.", "A 12 mm nodule projects over the right upper zone."),
    # nltk counts an n-gram for texts too short to have one: none here is shorter than four words
    ("The cardiomediastinal silhouette is unremarkable.", "Cardiac shadow is unremarkable."),
]


def words(text):
    return [w for w in re.split(r"[^a-z0-9]+", text.lower()) if w]


scorer = RougeScorer(["rougeL"], use_stemmer=False)
references, candidates = [[words(a)] for a, _ in PAIRS], [words(b) for _, b in PAIRS]
weights = {n: tuple([1 / n] * n) for n in (1, 2, 3, 4)}
values = dict(
    pairs=PAIRS,
    rouge_l=[scorer.score(a, b)["rougeL"].fmeasure for a, b in PAIRS],
    bleu={n: corpus_bleu(references, candidates, weights=w) for n, w in weights.items()},
)
path = Path(__file__).parent / "data" / "text_metrics.json"
path.write_text(json.dumps(values, indent=1) + "\n")
print(path, values["rouge_l"], values["bleu"])
