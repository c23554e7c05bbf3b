/**
 * The public API as the compiler sees it: the objects that the declarations of every entry point take, and the types they
 * name.
 */
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import ts from 'typescript-oldest'
import { project } from './tarball.js'

/** A parameter, or a part of one, that is an object with named properties and neither a class nor a function. */
export interface TakenObject {
  /** 'ProtectionDomain.registerMemory(options)', 'PacketQueue.open(options).flows[]' */
  place: string
  /** The names that the type has, in order. */
  names: string[]
}

/** Everything that the entry points export. */
export class PublicApi {
  /** Objects that functions take, by their place. */
  readonly taken = new Map<string, TakenObject>()
  /** Types that the declarations of an entry point name but none exports: 'QueuePairSizes (QueuePair)'. */
  readonly hidden = new Set<string>()
  /** Names without a comment that an editor would show, and options whose comment does not state the default. */
  readonly undocumented = new Set<string>()
  readonly #checker: ts.TypeChecker
  readonly #exported = new Set<ts.Symbol>()

  constructor() {
    const { exports } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
    const files = Object.values<{ types?: string }>(exports)
      .filter((target) => target.types)
      .map((target) => join(project, target.types as string))
    const program = ts.createProgram(files, {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
      types: ['node'],
      strict: true,
      skipLibCheck: true,
    })
    this.#checker = program.getTypeChecker()
    const symbols = files.flatMap((file) =>
      this.#exportsOf(
        this.#checker.getSymbolAtLocation(program.getSourceFile(file) as ts.SourceFile) as ts.Symbol,
      ),
    )
    for (const symbol of symbols) this.#export(symbol)
    for (const symbol of symbols) this.#visitExport(symbol, symbol.name)
  }

  #exportsOf(module: ts.Symbol): ts.Symbol[] {
    return this.#checker
      .getExportsOfModule(module)
      .map((symbol) =>
        symbol.flags & ts.SymbolFlags.Alias ? this.#checker.getAliasedSymbol(symbol) : symbol,
      )
  }

  #export(symbol: ts.Symbol): void {
    this.#exported.add(symbol)
    if (!(symbol.flags & ts.SymbolFlags.ValueModule)) return
    for (const each of this.#exportsOf(symbol)) this.#export(each)
  }

  #visitExport(symbol: ts.Symbol, name: string): void {
    if (this.#comment(symbol) === '') this.undocumented.add(name)
    for (const declaration of symbol.declarations ?? []) this.#namedTypes(declaration, name)
    if (symbol.flags & ts.SymbolFlags.ValueModule) {
      const namespace = basename(name.replaceAll('"', ''))
      for (const each of this.#exportsOf(symbol)) this.#visitExport(each, `${namespace}.${each.name}`)
      return
    }
    if (!(symbol.flags & ts.SymbolFlags.Value)) return
    const type = this.#checker.getTypeOfSymbol(symbol)
    this.#visitSignatures(type, name)
    for (const member of type.getProperties()) {
      if (member.name !== 'prototype') this.#visitMember(member, name)
    }
    if (symbol.flags & ts.SymbolFlags.Class) {
      for (const member of this.#checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
        this.#visitMember(member, name)
      }
    }
  }

  #comment(symbol: ts.Symbol): string {
    return ts.displayPartsToString(symbol.getDocumentationComment(this.#checker))
  }

  /** A member that this package declares, not one inherited from a stream. */
  #visitMember(member: ts.Symbol, owner: string): void {
    if (!isOurs(member) || member.name.startsWith('__')) return
    this.#visitSignatures(this.#checker.getTypeOfSymbol(member), `${owner}.${member.name}`)
  }

  #visitSignatures(type: ts.Type, name: string): void {
    for (const signature of [...type.getConstructSignatures(), ...type.getCallSignatures()]) {
      const declaration = signature.getDeclaration()
      if (!declaration || !isOurFile(declaration)) continue
      if (isHidden(declaration)) continue
      for (const parameter of signature.getParameters()) {
        this.#visitTaken(this.#checker.getTypeOfSymbol(parameter), `${name}(${parameter.name})`)
      }
    }
  }

  #visitTaken(type: ts.Type, place: string): void {
    if (type.isUnion()) {
      const named = type.types.filter(
        (each) => each.symbol?.flags & ts.SymbolFlags.Interface && isOurs(each.symbol),
      )
      for (const each of type.types) {
        const which = named.length > 1 && named.includes(each) ? `${place} as ${each.symbol.name}` : place
        this.#visitTaken(each, which)
      }
      return
    }
    if (this.#checker.isArrayType(type) || this.#checker.isTupleType(type)) {
      const [element] = this.#checker.getTypeArguments(type as ts.TypeReference)
      if (element) this.#visitTaken(element, `${place}[]`)
      return
    }
    if (!(type.flags & ts.TypeFlags.Object) || type.getCallSignatures().length > 0) return
    const properties = type.getProperties()
    if (type.isClass() || properties.length === 0 || !properties.every(isOurs)) return
    const known = this.taken.get(place)
    const names = [...new Set([...(known?.names ?? []), ...properties.map(({ name }) => name)])]
    this.taken.set(place, { place, names })
    for (const property of properties) {
      const comment = this.#comment(property)
      // An omitted attribute is not modified.
      const optional =
        (property.flags & ts.SymbolFlags.Optional) !== 0 && place !== 'QueuePair.modify(attributes)'
      if (comment === '' || (optional && !/default|left out|instead/i.test(comment))) {
        this.undocumented.add(`${place}.${property.name}`)
      }
      this.#visitTaken(this.#checker.getTypeOfSymbol(property), `${place}.${property.name}`)
    }
  }

  /** The types that a declaration names: the library's own must be exported, or users cannot name them. */
  #namedTypes(node: ts.Node, owner: string): void {
    const flags = ts.canHaveModifiers(node) ? ts.getCombinedModifierFlags(node as ts.Declaration) : 0
    if (flags & ts.ModifierFlags.Private || !isOurFile(node)) return
    // `keyof typeof X` stands for the names themselves: X need not be exported.
    if (ts.isTypeReferenceNode(node) || ts.isExpressionWithTypeArguments(node)) {
      const name = ts.isTypeReferenceNode(node) ? node.typeName : node.expression
      let symbol = this.#checker.getSymbolAtLocation(name)
      if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = this.#checker.getAliasedSymbol(symbol)
      const declared = symbol?.declarations?.some(isOurFile) && !(symbol.flags & ts.SymbolFlags.TypeParameter)
      if (symbol && declared && !this.#exported.has(symbol)) this.hidden.add(`${symbol.name} (${owner})`)
    }
    ts.forEachChild(node, (child) => this.#namedTypes(child, owner))
  }
}

function isOurs(symbol: ts.Symbol): boolean {
  return symbol.declarations?.some(isOurFile) ?? false
}

/** Whether users cannot call it: a private method or constructor, or the constructor of an abstract class. */
function isHidden(declaration: ts.Declaration): boolean {
  const hiding = ts.ModifierFlags.Private | ts.ModifierFlags.Protected
  const abstract = ts.isConstructorDeclaration(declaration)
    ? ts.getCombinedModifierFlags(declaration.parent) & ts.ModifierFlags.Abstract
    : 0
  return ((ts.getCombinedModifierFlags(declaration) & hiding) | abstract) !== 0
}

function isOurFile(node: ts.Node): boolean {
  return node.getSourceFile().fileName.startsWith(join(project, 'dist/'))
}
