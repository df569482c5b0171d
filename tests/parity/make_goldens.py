"""run under /work/parity venv: HF side for random weights; ours: imports from issue3 without ctranslate2"""
import sys, types, importlib.util, pathlib, pickle
sys.path.insert(0,'/work/issue3/tests/parity')
import numpy as np, torch
from random_weights import *
from hf_model import to_hf
from transformers import GenerationConfig
from transformers.generation.utils import GenerationMixin
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput
torch.set_num_threads(1)
out={}
for seed in range(3):
    W=random_weights(seed); m=to_hf(W,NUM_MELS)
    enc=torch.from_numpy(np.random.default_rng(seed).normal(0,1,(2,100,64)).astype(np.float32))
    out[seed]={'enc':enc.numpy()}
    for ts in (False,True):
        prompt=[START,START+1,START+3]+([] if ts else [NO_TIMESTAMPS])
        cases={'greedy':{}}
        for b in (2,4,5):
            for es in (True,False,'never'): cases[f'beam{b}-{es}']=dict(num_beams=b,early_stopping=es)
        for lp in (0.0,0.5,2.0,-1.0): cases[f'beam4-lp{lp}']=dict(num_beams=4,early_stopping=False,length_penalty=lp); cases[f'beam4-never-lp{lp}']=dict(num_beams=4,early_stopping='never',length_penalty=lp)
        for b,g in ((4,2),(6,3)):
            for es in (True,False,'never'): cases[f'group{b}/{g}-{es}']=dict(num_beams=b,num_beam_groups=g,diversity_penalty=1.0,early_stopping=es)
        for a in (.3,.6):
            for k in (4,8): cases[f'contrastive{a}-{k}']=dict(penalty_alpha=a,top_k=k)
        cases['min30']=dict(min_new_tokens=30); cases['beam-min20']=dict(num_beams=4,early_stopping=False,min_new_tokens=20)
        cases['group-min20']=dict(num_beams=4,num_beam_groups=2,diversity_penalty=.5,early_stopping=False,min_new_tokens=20)
        cases['contrastive-min']=dict(penalty_alpha=.5,top_k=4,min_new_tokens=15)
        cases['max5']=dict(max_new_tokens=5); cases['beam-max5']=dict(num_beams=4,early_stopping=False,max_new_tokens=5); cases['min12max12']=dict(num_beams=3,early_stopping=True,min_new_tokens=12,max_new_tokens=12)
        cases['rep']=dict(repetition_penalty=1.5); cases['ngram']=dict(no_repeat_ngram_size=2); cases['beam-ngram']=dict(num_beams=3,early_stopping=True,no_repeat_ngram_size=2)
        cases['beam-rep']=dict(num_beams=3,early_stopping=False,repetition_penalty=1.3)
        for name,kw in cases.items():
            kw=dict(max_new_tokens=60)|kw
            gc=GenerationConfig(eos_token_id=END_OF_TEXT,pad_token_id=END_OF_TEXT,bos_token_id=END_OF_TEXT,decoder_start_token_id=START,do_sample=False,**kw)
            gc.no_timestamps_token_id=NO_TIMESTAMPS; gc.max_initial_timestamp_index=50
            lp=LogitsProcessorList([WhisperTimeStampLogitsProcessor(gc,begin_index=len(prompt))] if ts else [])
            res=[]
            for r in range(2):
                with torch.no_grad():
                    o=GenerationMixin.generate(m,encoder_outputs=BaseModelOutput(enc[r:r+1]),decoder_input_ids=torch.tensor([prompt]),generation_config=gc,logits_processor=lp)
                t=o[0,len(prompt):].tolist()
                while t and t[-1]==END_OF_TEXT: t.pop()
                res.append(t)
            out[seed][(ts,name)]=(prompt,kw,res)
    print(seed,[len(v[2][0]) for k,v in out[seed].items() if k!='enc'],flush=True)
pickle.dump(out,open('/tmp/parity.pkl','wb'))
