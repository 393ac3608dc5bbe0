"""Tiny random Llama checkpoints made by transformers, and what transformers says with them.

    python tests/reference/make_decoders.py

writes tests/reference/data/decoders/<name>/ (a folder as save_pretrained leaves it) and expected.json: prompt, greedy
tokens, their text, and the logits of the prompt.
"""

import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).parent / "data" / "decoders"
TEXT = ["The heart is normal in size.", "The lungs are clear.", "No pleural effusion or pneumothorax.", "Café ½ °C"]
BASE = dict(vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=None, initializer_range=0.4)
CASES = {
    # grouped queries, tied head, single file
    "grouped": (dict(num_key_value_heads=2, tie_word_embeddings=True, rope_theta=500.0, rms_norm_eps=1e-5), torch.float32, None),
    # Llama 3 positions, untied, bf16, shards, two end tokens
    "llama3": (dict(num_key_value_heads=1, head_dim=16, eos_token_id=[2, 5], rope_scaling=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32)), torch.bfloat16, "12KB"),
    # biases everywhere, f16
    "biased": (dict(attention_bias=True, mlp_bias=True), torch.float16, None),
}


def tokenizer() -> Tokenizer:
    """Byte-level BPE; 97 tokens are fewer than the 256 bytes, so its vocabulary is cut to what the text needs."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=97, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False)
    made.train_from_iterator(TEXT, trainer)
    return made


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    for number, (name, (changes, dtype, shard)) in enumerate(CASES.items()):
        torch.manual_seed(number)
        config = LlamaConfig(**{**BASE, **changes})
        model = LlamaForCausalLM(config)
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.3)
            elif "norm" in key:
                torch.nn.init.normal_(parameter, mean=1.0, std=0.2)
        folder = OUT / name
        model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        words = tokenizer()
        words.save(str(folder / "tokenizer.json"))
        cases = []
        for prompt in ([1], [1, 30, 41, 52], list(range(3, 40))):
            ids = torch.tensor([prompt])
            with torch.no_grad():
                greedy = model.generate(ids, max_new_tokens=24, do_sample=False)[0, len(prompt):].tolist()
                logits = model(ids).logits[0]
            ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
            ends = [i for i, token in enumerate(greedy) if token in ends]
            greedy = greedy[: ends[0]] if ends else greedy
            cases.append(dict(prompt=prompt, greedy=greedy, text=words.decode(greedy),
                              last_logits=[round(x, 6) for x in logits[-1].tolist()]))
        (folder / "expected.json").write_text(json.dumps(cases))
        print(name, [len(case["greedy"]) for case in cases], sum(f.stat().st_size for f in folder.iterdir()))


main()
