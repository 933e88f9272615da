"""The HTML page around a drawing: details at the pointer, and a search."""

from __future__ import annotations

import json
from typing import Any

from ...errors import display_path
from ...read import Image
from ..usage import FREE, KINDS
from .svg import LEFT, TOP, Drawing, escaped

USES_MOST = 200_000
PATH_BYTES_MOST = 16 << 20


def page(image: Image, drawing: Drawing, paths: dict[int, bytes]) -> str:
    """Return a self-contained HTML page."""
    svg = drawing.as_svg()
    facts = json.dumps(_facts(image, drawing, paths), separators=(",", ":"), ensure_ascii=True)
    # Names come from the image: nothing in them may end the element that holds them.
    facts = facts.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return (
        _PAGE.replace("@TITLE@", escaped(drawing.title))
        .replace("@SVG@", svg)
        .replace("@FACTS@", facts)
    )


def _facts(image: Image, drawing: Drawing, paths: dict[int, bytes]) -> dict[str, Any]:
    scale = drawing.scale
    uses = [use for use in drawing.usage.uses if use.kind != FREE]
    left_out = max(len(uses) - USES_MOST, 0)
    if left_out:
        # Keep the largest, in ascending order.
        least = sorted((use.count for use in uses), reverse=True)[USES_MOST - 1]
        kept = [use for use in uses if use.count > least]
        equal = [use for use in uses if use.count == least][: USES_MOST - len(kept)]
        uses = sorted([*kept, *equal])
    names: dict[str, str] = {}
    spent = 0
    for ino in sorted({use.ino for use in uses if use.ino}):
        text = display_path(paths[ino]) if ino in paths else ""
        spent += len(text)
        names[str(ino)] = text if spent <= PATH_BYTES_MOST else ""
    kinds = {kind: place for place, kind in enumerate(KINDS)}
    flat: list[int] = []
    for use in uses:
        flat += (use.first, use.count, kinds[use.kind], use.ino, use.logical)
    return {
        "first": scale.first,
        "blocks": scale.blocks,
        "columns": scale.columns,
        "row": scale.row_blocks,
        "cell": scale.cell_blocks,
        "lines": scale.lines_per_row,
        "left": LEFT,
        "top": TOP,
        "width": drawing.cell_width,
        "line": drawing.line,
        "step": drawing.step,
        "gap": drawing.gap,
        "blockSize": image.block_size,
        "groupBlocks": image.format.clusters_per_group * image.format.blocks_per_cluster,
        "kinds": KINDS,
        "leftOut": left_out,
        "uses": flat,
        "names": names,
    }


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>@TITLE@</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
:root{color-scheme:light dark}
body{margin:0;font:13px system-ui,sans-serif;background:#fff;color:#1f2328}
header{position:sticky;top:0;z-index:1;padding:10px 20px;background:inherit;
 border-bottom:1px solid #d0d7de}
input{font:inherit;width:26em;max-width:70vw;padding:4px 8px}
#found{display:block;max-height:11em;overflow:auto;margin-top:4px}
#found button{display:block;border:0;background:none;font:inherit;color:#0969da;padding:1px 0;
 cursor:pointer;text-align:left}
#tip{position:fixed;display:none;z-index:2;max-width:44em;padding:6px 10px;white-space:pre-wrap;
 overflow-wrap:anywhere;background:#1f2328;color:#fff;border-radius:4px;pointer-events:none}
#marks{fill:none;stroke:#000;stroke-width:1.5}
#here{fill:none;stroke:#d1242f;stroke-width:1.5}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}
 header{border-color:#30363d}#found button{color:#58a6ff}#tip{background:#e6edf3;color:#0d1117}
 #marks{stroke:#fff}}
</style></head><body>
<header><input id="search" type="search" placeholder="part of a path, &lt;inode&gt;, or block N"
 aria-label="Search"> <span id="count"></span><div id="found"></div></header>
@SVG@<div id="tip"></div>
<script type="application/json" id="facts">@FACTS@</script>
<script>
"use strict";
const f=JSON.parse(document.getElementById("facts").textContent),u=f.uses,N=u.length/5;
const svg=document.querySelector("svg"),tip=document.getElementById("tip");
const space="http://www.w3.org/2000/svg";
function layer(id){const p=document.createElementNS(space,"path");p.id=id;svg.append(p);return p}
const marks=layer("marks"),here=layer("here"),ends=[];
for(let i=0,most=0;i<N;i++){most=Math.max(most,u[5*i]+u[5*i+1]);ends.push(most)}
function top_(line){return f.top+line*f.step+Math.floor(line/f.lines)*f.gap}
function cellOf(block){const at=block-f.first,row=Math.floor(at/f.row),inside=at-row*f.row;
 return row*f.lines*f.columns+Math.floor(inside/f.cell)}
function rangeOf(cell){const per=f.lines*f.columns,row=Math.floor(cell/per),start=row*f.row;
 const end=Math.min(start+f.row,f.blocks),low=start+(cell-row*per)*f.cell;
 return[f.first+low,f.first+Math.max(low,Math.min(low+f.cell,end))]}
function cellAt(event){const m=svg.getScreenCTM();if(!m)return-1;
 const p=new DOMPoint(event.clientX,event.clientY).matrixTransform(m.inverse());
 const column=Math.floor((p.x-f.left)/f.width);if(column<0||column>=f.columns)return-1;
 let line=Math.floor((p.y-f.top)/f.step);
 if(f.gap){const tall=f.lines*f.step+f.gap,row=Math.floor((p.y-f.top)/tall);
  const inside=Math.floor((p.y-f.top-row*tall)/f.step);if(inside>=f.lines)return-1;
  line=row*f.lines+inside}
 if(line<0)return-1;const cell=line*f.columns+column,r=rangeOf(cell);return r[0]<r[1]?cell:-1}
function within(low,high){let a=0,b=N;while(a<b){const m=a+b>>1;if(ends[m]<=low)a=m+1;else b=m}
 const found=[];for(;a<N&&u[5*a]<high;a++)if(u[5*a]+u[5*a+1]>low)found.push(a);return found}
function many(n,what){return`${n} ${what}${n===1?"":"s"}`}
function name(ino){return f.names[ino]||(ino?"no path":"")}
function describe(i){const b=u[5*i],n=u[5*i+1],ino=u[5*i+3],kind=f.kinds[u[5*i+2]];
 const group=Math.floor((b-f.first)/f.groupBlocks);
 let text=ino?`${name(ino)} \\u2014 inode ${ino}, ${kind}`:`${kind}, group ${Math.max(group,0)}`;
 text+=`\\n    blocks ${b}-${b+n-1} (${n})`;
 if(ino&&kind==="data"||kind==="directory")text+=`, from block ${u[5*i+4]} of the file`;return text}
function outline(cells){let d="",list=[...cells].sort((x,y)=>x-y);
 for(let i=0;i<list.length;){let j=i+1;
  while(j<list.length&&list[j]===list[j-1]+1&&list[j]%f.columns)j++;
  const line=Math.floor(list[i]/f.columns),column=list[i]%f.columns,w=(j-i)*f.width;
  d+=`M${f.left+column*f.width} ${top_(line)}h${w}v${f.line}h-${w}z`;i=j}return d}
svg.addEventListener("pointermove",event=>{const cell=cellAt(event);
 if(cell<0){tip.style.display="none";here.setAttribute("d","");return}
 const[low,high]=rangeOf(cell),found=within(low,high);
 found.sort((x,y)=>Math.min(high,u[5*y]+u[5*y+1])-Math.max(low,u[5*y])
  -Math.min(high,u[5*x]+u[5*x+1])+Math.max(low,u[5*x]));
 let text=high-low===1?`block ${low}`:`blocks ${low}-${high-1}`;
 text+=` at byte ${low*f.blockSize}`;
 if(!found.length)text+=f.leftOut?"\\nfree, or too small to be listed here":"\\nfree";
 for(const i of found.slice(0,8))text+="\\n"+describe(i);
 if(found.length>8)text+=`\\nand ${found.length-8} more`;
 tip.textContent=text;tip.style.display="block";here.setAttribute("d",outline([cell]));
 const box=tip.getBoundingClientRect();
 tip.style.left=Math.max(0,Math.min(event.clientX+14,innerWidth-box.width-8))+"px";
 tip.style.top=Math.max(0,event.clientY+18+box.height>innerHeight?
  event.clientY-box.height-10:event.clientY+18)+"px"});
svg.addEventListener("pointerleave",()=>{tip.style.display="none";here.setAttribute("d","")});
function cellsOf(list){const cells=new Set();
 for(const i of list){const from=Math.max(u[5*i],f.first);
  for(let b=from,end=u[5*i]+u[5*i+1];b<end;){const c=cellOf(b);cells.add(c);b=rangeOf(c)[1]}}
 return cells}
const search=document.getElementById("search"),box=document.getElementById("found");
const count=document.getElementById("count");
function mark(list){marks.setAttribute("d",outline(cellsOf(list)))}
function find(){const text=search.value.trim();box.replaceChildren();count.textContent="";
 marks.setAttribute("d","");if(!text)return;
 const block=/^block\\s+(\\d+)$/.exec(text),inode=/^<(\\d+)>$/.exec(text);let list=[];
 for(let i=0;i<N;i++){const ino=u[5*i+3];
  if(block?u[5*i]<=+block[1]&&+block[1]<u[5*i]+u[5*i+1]:inode?ino===+inode[1]:
   (f.names[ino]||f.kinds[u[5*i+2]]).includes(text))list.push(i)}
 const of=new Map();for(const i of list){const key=u[5*i+3]||f.kinds[u[5*i+2]];
  if(!of.has(key))of.set(key,[]);of.get(key).push(i)}
 count.textContent=`${of.size} found`+(f.leftOut?`; ${f.leftOut} small extents are not listed`:"");
 for(const[key,these]of[...of].slice(0,100)){const b=document.createElement("button");
  const blocks=these.reduce((sum,i)=>sum+u[5*i+1],0);
  b.textContent=(typeof key==="number"?`${name(key)} \\u2014 inode ${key}`:key)+
   `: ${many(blocks,"block")} in ${many(these.length,"extent")}`;
  b.onclick=()=>mark(these);box.append(b)}
 mark(list)}
search.addEventListener("input",find);
if(location.hash.length>1){search.value=decodeURIComponent(location.hash.slice(1));find()}
</script></body></html>
"""
