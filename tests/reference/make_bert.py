"""Makes data/bert: a tiny random BERT folder and what transformers makes of three reports (mean over the words).

    python make_bert.py [--out data/bert]

Needs torch and transformers 5 beside requirements.txt.
"""

import argparse
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
LENGTH = 96
REPORTS = [
    "The heart is normal.",
    "No pleural effusion; lungs are CLEAR, enlarged heart. Unseenword!",
    "Right-sided effusion.",
]
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the heart is normal no pleural effusion lungs are clear right left sided en ##lar ##ged . , ; - !"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "data" / "bert")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    words = WORDS.split()
    tokenizer = transformers.BertTokenizer(vocab={word: i for i, word in enumerate(words)}, do_lower_case=True)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=LENGTH, initializer_range=0.4)
    model = transformers.BertModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.2)
        texts = tokenizer(REPORTS, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        hidden = model(**texts).last_hidden_state
        known = texts["attention_mask"][..., None].float()
        pooled = (hidden * known).sum(1) / known.sum(1)
    model.save_pretrained(out)
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    save_file({"pooled": pooled.contiguous(), "ids": texts["input_ids"].float().contiguous()}, out / "expected.safetensors")
    (out / "reports.json").write_text(json.dumps(REPORTS, indent=1) + "\n")


main()
