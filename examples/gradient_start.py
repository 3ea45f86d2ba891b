"""Begin a plain PEFT adapter along the task's gradient, and train it with transformers' Trainer."""

import sys

from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

import adarank

source, table, out = sys.argv[1:]
rows = load_dataset("csv", data_files=table, split="train").class_encode_column("label")
tokenizer = AutoTokenizer.from_pretrained(source)
model = AutoModelForSequenceClassification.from_pretrained(
    source, num_labels=rows.features["label"].num_classes
)
collate = DataCollatorWithPadding(tokenizer)
train = rows.map(lambda row: tokenizer(row["text"], truncation=True), remove_columns=["text"])
train = train.rename_column("label", "labels")

# One pass over labelled rows. A head that is new should be trained for some steps first.
encoded = train.to_list()
batches = [collate(encoded[at : at + 16]) for at in range(0, len(encoded), 16)]
modules = adarank.find_modules(model)
found = adarank.gradient_directions(model, batches, modules, components=4)

names = [module.name for module in modules]
config = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=4, target_modules=names)
model = get_peft_model(model, config)
adarank.set_start(model, "gradient", adarank.directions_of(found.table))

arguments = TrainingArguments(
    out,
    max_steps=10,
    learning_rate=1e-2,
    per_device_train_batch_size=16,
    logging_steps=1,
    report_to="none",
)
trainer = Trainer(model, arguments, data_collator=collate, train_dataset=train)
trainer.train()
trainer.save_state()
model.save_pretrained(out)
