"""How to read each table: the words that stand under it whatever the records hold."""

from __future__ import annotations

__all__ = ["HOW_TO_READ"]

HOW_TO_READ = {  # by the table's file name
    "table1": "MB = 10^6 bytes of a file that loads back into the model with the same logits; the state dict "
    "beside it is the report's way of measuring. The shapes have random weights and therefore no score. Matthews: "
    "correlation of answers and labels, 0 for chance; Pearson, Spearman: correlation of scores, and of their ranks.",
    "table2": "Seconds for the whole validation set in batches of 32 at their true lengths, each batch timed once "
    "or more and summed, median over seeds; in brackets "
    "how many times faster than BERT-base's shape in the same run (in the report's rows: "
    "than its own BERT).",
    "differences": "Paired difference of the main metric over the same examples, with its 95 % interval.",
    "significance": "Each comparison again, task by task. p: how likely so large a difference is if there is none, "
    "from the interval over examples or over seeds, whichever gives more. Holm: adjusted for the number of tasks: "
    "below 0.05, told apart although several were tried. Wrong to right, right to wrong: rows whose answer "
    "changed so, on the mean over seeds; McNemar: how likely chance alone splits them as unevenly, lowest to highest "
    "over seeds, not adjusted. It is about right and wrong answers, whatever the task's metric is. Scores of STS-B do "
    "not flip, and older records did not count flips.",
    "claims": "What the report *Applying further model compression to TinyBERT* and the overview *A Detailed Overview "
    "of BERT Model Compression Methods* say, and the values at which it holds (about: give or take a tenth; points are "
    "hundredths of the score; each, most: asked task by task, or amount by amount). Here: with a 95 % interval over "
    "examples or batches or, with several seeds, over these, whichever is wider; where no task is named, the mean over "
    "tasks. The report's tables: the same of its own single runs, over the same tasks. Reproduced: the whole "
    "interval lies where the claim holds; contradicted: none of it does; not decidable: neither. Shares of a score are "
    "of the score itself, not of what is above the floor. A verdict is about the models, rows, text and machine of "
    "this study, which are not the claim's.",
    "latency": "Milliseconds per batch: median and, in brackets, 95th percentile; at true lengths the batches differ "
    "in length, and the percentile is about the long ones. Speed-up: the median of "
    "time(BERT-base shape) / time(system), batch by batch, with its 95 % interval.",
    "starts": "The same distillation from other starts; differences are to the study's own student.",
    "teachers": "Differences are to the teacher that starts from the language model as it is, on the validation split. "
    "One that starts after more pretraining begins with a new pooler, the layer between encoder and answer, since "
    "nothing there trains the old one. "
    "The one with the best score on held-out rows is the study's teacher.",
    "ablations": "One change each to the distilled student, all else equal; differences are to that student.",
    "distilbert": "DistilBERT after distillation on text and fine-tuning, and one change each; differences are to the "
    "first row.",
    "albert": "ALBERT and others of its kind: what layers share, or how wide the embeddings are, one change each; "
    "differences are to the first row.",
    "low_rank": "The teacher with matrices cut to a low rank: its word embeddings, or its layers, each so far that "
    "about as many weights are saved as with ALBERT's embeddings. Recovered: after it learned the teacher's answers in "
    "a short training (recovery_epochs). Differences are to the teacher.",
    "structured": "The teacher after heads, feed-forward neurons or whole layers were removed, the least important "
    "first. Recovered: after it learned the teacher's answers in a short training (recovery_epochs). Zeros: "
    "the encoder's smallest weights set to zero instead, as many, which makes nothing smaller. "
    "Differences are to the teacher.",
    "systems": "All systems that were run with this profile. MB = 10^6 bytes of a file that loads back into the model "
    "with the same logits. Speed: how many times as fast as the fine-tuned teacher in the same run, in batches of 32 "
    "at their true lengths; of what two notebooks timed, the median. How each was made is in its notebook.",
    "storage": "One distilled student in files of fewer and fewer bytes, each with tokenizer and configuration; MB = "
    "10^6 bytes, over tasks and seeds. Each loads back into a model with exactly the logits of the one that was "
    "scored. Mean difference: to the float32 file, in points (hundredths), over tasks and so over different metrics; "
    "its t interval is over seeds, and says nothing of the validation rows being few. The two int8 rows compute their "
    "linear layers in eight bits; all others compute in float32 once they are read. Entropy coded: codes are written "
    "in the shortest of three ways, which changes no value. Rare pieces gone: the vocabulary keeps the pieces of the "
    "task's training rows and those that the text has storage_min_count times. Trained longer: storage_epochs more of "
    "the student's last stage; quantization-aware: the same with weights rounded in each step. SST-2's held-out rows "
    "share phrases with its training rows.",
    "programs": "One distilled student by several programs, on the same threads. Largest difference of a logit to "
    "PyTorch's float32, over the validation split, and the share of answers that are others; differences of the score "
    "are to PyTorch's float32. Rows a second: at true lengths, in batches of 32, rows of like length together. Times "
    "the floor: how much longer a batch took than the machine's measured rate of matrix products, or of reading "
    "memory, allows. First answer: from reading the model's file to one answer, conversion and compilation included, "
    "in a process of its own; memory is that process's at most, PyTorch and the conversion included.",
    "program_times": "Milliseconds for rows of one length without padding, median; in brackets how many times as fast "
    "as BERT-base's shape in PyTorch's float32, batch by batch in the same run.",
    "factors": "Seconds for the whole validation split, each way beside the others in the same run; a factor is the "
    "median over rounds of the time of the row above divided by this row's, with its 95 % bootstrap interval. The "
    "first row's padded batches are all alike, and a few stand for all. Over several seeds each number is a median of "
    "its own, so that factors need not multiply to the total. Two processes take a thread each; "
    "the others both threads.",
    "orders": "Chains whose weights end within the same budget of bytes, as they are stored: MB = 10^6 bytes, without "
    "tokenizer, configuration and header, which are alike. A step that comes before the training is a condition of it: "
    "pruned weights are held at zero, rounded ones are rounded in each batch. Pruning takes as large a share of each "
    "matrix. Differences are in points (hundredths), over tasks and so over different metrics, each with its 95 % "
    "interval: over examples or, with several seeds, over these, whichever is wider. Chains that recover have taken "
    "more steps. Minutes, the median over tasks and seeds, are those of all steps after student's start and teacher, "
    "taken while another run was at work. The time is that of the model's shape, in batches of 32 at true lengths: "
    "weights are computed in float32 once they are read. Front: no other model of the tree is as good in score on the "
    "validation split, bytes and time at once, where 2 % of bytes and 5 % of time are no difference; differences of "
    "scores inside noise count, so the front is a picture, not a choice.",
    "order_methods": "Which methods: of each set of them, whatever their order and with or without recovering, the "
    "chain within the budget that is best on held-out rows, its difference on the validation split to the whole "
    "student, and to the budget's best of all, in points (hundredths), with the 95 % interval over examples or, with "
    "several seeds, over these, whichever is wider. A set of many chains has more to choose from. Train: the labels, "
    "in the place of distil.",
    "order_pairs": "Chains of one budget that have the same steps in another order: the difference of the first to "
    "that beside it, in points (hundredths), with its 95 % interval over examples or, with several seeds, over these, "
    "whichever is wider.",
    "order_answer": "Differences are of scores on the validation split, each with its 95 % interval; what is best was "
    "chosen on held-out rows of the training split.",
    "order_swaps": "What it changes to put one step before another that usually comes first: the mean over all pairs "
    "of chains of one budget that differ in the order of these two neighbours alone, in points (hundredths), and the "
    "lowest and highest of the pairs. It depends on the chain where pairs contradict each other by more than noise. "
    "The 95 % interval is the mean of the pairs' over examples, or, if it is wider, that of their mean over seeds. "
    "Pairs that are at the floor in most runs are left out.",
    "order_findings": "What others found with other models, bits and tasks, and whether the same comparison comes out "
    "so here: the difference of the first chain to that beside it, on the mean over all pairs of chains of one budget "
    "that ask the same, in points (hundredths). The 95 % interval is the mean of the pairs' over examples, or, if it "
    "is wider, that of their mean over seeds. Where others found no difference, *inside noise* does not contradict "
    "them. Pairs that are at the floor in most runs are left out.",
    "augmentation": "The distilled student, and students that saw augmented rows, too.",
    "ladder": "Intermediate distillation, examples per second: the plain way (every row padded to 128 tokens, float32, "
    "the teacher asked in every epoch, an unfused optimizer), each speed-up alone, and all together, also with 128 "
    "rows a step, which is another training, of a quarter of the steps; then, computed from these rates, how many "
    "times as fast one epoch and ten are, the pass that stores the teacher's outputs included, which always keeps rows "
    "at their lengths. Each way is timed once or twice, without an interval, so that small differences between them "
    "say little. Over several seeds: medians.",
    "retention": "(score - floor) / (teacher - floor); the floor is the majority or mean predictor. "
    "Above 100 %: a better score than the teacher's; below 0 %: a worse one than the floor's.",
}
